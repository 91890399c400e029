scalepca 2
u8:@B

I32f32B	
U8f32B

I64f32B

bf16u8B
answersu8B	
u8f32B	
i32u8B
BF16f32B

F16f32B	
U7f32B

pcaf32B

tasku8B	
f16u8B

F32i32J@0ac52752077fddc1a050dba65f26f39be7802180691fd9ed0ce95401ebaedad0P€€€€Zr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411