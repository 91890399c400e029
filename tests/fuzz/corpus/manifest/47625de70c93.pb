farm-1horse (2A
	vgg_small
image_px 
channels
widths
hidden:ÄÄ	B
categoryu8B

I32f32B

F16f32B
F32f32B
taskf32B

f32f32B
bf16f32B
classificationf32B

statisticsu8 	B

f16f32B
scalef32B
answersf32B	
U8f32B
stages.5.0.weightf32 B
i32f32 ÅÄ@B
adapterf32B

pcaf32B
u8u8B

I64f32J@aac6b76808ef042ad56d52ce5724c44bb71ea94013284e8dc40125b9c3b568eeP	Zb
iour@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411