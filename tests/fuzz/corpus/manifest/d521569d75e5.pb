farm-1horse 2E

statistics
channels
height

width

directions:B
0.cosariancef32B
answersf32 @B
F16f32 B
scalef32B

0.residualf32B
1.covariancef32 ÅÄ@B
adapterf32 †aB
I32f32 †°B
U8f32 ∞°B

statisticsf32B
BF16f32 B
categoryf32 B
0.sample_counti32 »¡B
1.sample_counti32 Ã¡J@0ac52752d77f0dc1a050dba65f26f39be7802180691fd9ed0ce95401ebaedad0PZjr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411z
taskf16z
adapter0.8.0z
torchi32