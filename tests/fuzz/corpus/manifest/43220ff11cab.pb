u8i32 2
u8:B
U8u8B

f16f32B
u8u8J@0ac52752d77f0dc1a050dba65f26f39be7802180691fd9ed0ce95401ebaedad0PZ