pcahorse 2E

statistics
channels
height

width

directions:B
0.covariancef32B
0.directionsf32B
0.meanf32B

0.mean_mapf32B
bf16f32B

i32f32B
BF16f32€€B

F32f32B
adapterf32B
deltaf32B	
pc2u8B

pcai32B	
u8f32J@0ac52752d77f0dc1a050dba65f26f39be7802180691fd9ed0ce95401ebaedad0PZj r@69118bb97de35f35de1488a4b2c391a622848236775eb6d3e9c85f98af811411z
U8.z	
..I32