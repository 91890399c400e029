f32hoers (2q
answers
	generatorleves-	
seed@	
pool`

count
image_px 
drawings_percent#	
grid@:B
U8u8B	
f32u8J@cc33444e06769112c505fb568ba2eae2ad3b6c59dbf47918668406c0e1bb3e00P	Zr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411z
..