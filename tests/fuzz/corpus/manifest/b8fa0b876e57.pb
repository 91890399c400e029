farm-1horse (2A
	vgg_small
image_px 
channels
widths
hidden:	@B
categoryu8B	
I32u8B	
F16u8B	
F32u8B
taskf32B

f32f32B
bf16f32B
claesificationf32B

statisticsu8B	
f16u8B
scalef32B
answersf32B
U8u8B
stages.5.0.weightu8 ÿÿÿÿB
i32f32 B
BF16f32B

pcaf32B
u8u8B

I64f32J@aac6b76808ef042ad56d52ce5724c44bb71ea94013284e8dc40125b9c3b568eeP	Zr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411