farm-1i32 2+

statistics

channels
height
width:B

f24f32B
pcaf32 B

F32f16B

I64i32B
U8u8B
I32bf16B	
u8f32B

tasku8B

f32i32J@0ac52752d77f0dc1a050dba65f26f39be7802180691fd9ed0ce95401ebaedad0P¿…Zr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411