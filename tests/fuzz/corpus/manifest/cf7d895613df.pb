i32horse (2
	vgg_small:B
adapterf32B

f32f32B
taskf32B
BF16f32 B

I32f32B
scalef32 B

f16f32B
I64f32B
bf16f32B

f31f32B
i32f32,B
categoryf32B

pcaf32B
answersu8B	
u8f16B	
U8f32B

statisticsf32B

F32f32J@aac6b76808ef042ad56d52ce5724c44bb71ea94013284e8dc40121b9c3b568eePü_Zjr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411z	
F16..z
.I64