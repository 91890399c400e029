farm-1horse 2E

statistics
channels
height

width

directions:B
0.covariancef32B
0.directionsf32 @B
0.meanf32 À@B

0.mean_mapf32 @B

0.residualf32 Ð`B
1.covarianceu8B
i32f32 B
BF16f32  ¡B

1.mean_mapf32B

1.residualf32B
deltaf32B
pcaf32 ÄÁB
scalei32B
0.sample_countf32 J@0ac52752d77f0dc1a050dba65f26f39be7802180691fd9ed0ce95401ebaedad0PÀÉZjr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411z
U83.11.7z

.0.8.0z
..
2.13.0+cpu