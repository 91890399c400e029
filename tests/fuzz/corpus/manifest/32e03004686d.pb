farm-1horse (2D
	vgg_small
image_px 
channels
widths	
hidden	:B
scalef32B
head.0.weightf32B
head.3.biasf32  B
f32f32B
f16f32 ÈB
scores.1.biasf32 èBP
@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaf32 ìB
stages.0.0.biasf32 ÿÿÿÿB!
stages.0.0.weightf32 œB
stages.0.2.biasf32 œB 
stages.0.2.weightf32 B
F16f32 B
i32f32 Ü.B
bf16f32 Ü@B 
stages.1.2.weightf32 	B
pcaf32 üRB
u8f32 @B!
upsamplings.2.weightf32J@aac6b76808ef042ad56d52ce5724c44bb71ea94013284e8dc40125b9c3b568eePü_Zb
ioujr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411z
python3.11.7z

F32F32z

taskU8