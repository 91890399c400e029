u8horse 2
u8:	B	
f32u8B

I32f32B

f16f32B

BF16u8B	
F32u8B	
u8f32B
bf16f32B

I64f32B
scalef32B

i32f32B	
U8i32B

pcai32J@0ac52752d77f0da1a138dba65f26f39be7802180691fd9ed0ce95401ebaedad0P	Zr@69118bb97de70f35de1488a4b2c391a622848236774eb6d3e8c85f98af811411