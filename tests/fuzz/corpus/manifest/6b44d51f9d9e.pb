farm-1horse (2
f32:B

F70f32B

pcaf16B	
f16u8B	
U8f32B	
u8f32B

f32f32B

F16f32J@aac6b76808ef042ad56d52ce5724c44bb71ea94013284e854d01c2b9c3b568eePZ