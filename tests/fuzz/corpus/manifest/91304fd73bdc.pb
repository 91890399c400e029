u8f16 2E

statistics
channels
height

width

directions:B
0.covariancef32B
0.directionsf32 @B
0.meanf32 ¿@B

0.mean_mapf32 –@B

0.residualf32 –`B
1.covariancef32 ‡`B
1.directionsf32 †aB
1.meanf32 †°B

1.mean_mapf32 ∞°B

1.residualf32 ∞¡B
deltaf32 ¿¡B
epsilonf32 ƒ¡B
0.sample_counti32 »¡B
1.sample_counti32 Ã¡J@0ac52752d77f0dc1a050dba65f26f39be7802180691fd9ed0ce95401ebaedad0P¿…Zr@69118bb97de70f35de1488a4b2c391a622848236775eb7d3e8c85f98af811411z
...z
u8.z
..