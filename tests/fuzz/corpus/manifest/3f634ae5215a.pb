farm-1u8 (2D
	vgg_small
image_px 
channels
widths
hidden:B
head.0.biasf32B
head.0.weightf32  B
head.3.biasf32B
head.3.weightf32B
scores.0.biasf32B
scores.0.weightf32B
scores.1.biasf32B
scores.1.weightf16B
stages.0.0.biasf32B
stages.0.0.weightf32B
stages.0.2.biasf32B
stages.0.2.weightf32B
stages.1.0.biasf32B
stages.1.0.weightf32B
stages.1.2.biasf32B
stages.1.2.weightf32B!
upsamplings.0.weightf32B!
upsamplings.1.weightf32B!
upsamplings.2.weightf32J@aac6b76808ef042ad56d52ce5724c44bb71ea94013284e8dc40125b9c3b568eePü_Zb
iour@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411z
u8.z
.u8z
....