f16horse (2r
answers
	generatorleaes-1	
seed		
pool`

count
image_px 
drawings_percent#	
grid:B
rangef32B
choseni32 B
codesu8 hJ@cc33444e06769112c505fb568ba2eae2ad3b6c59dbf47918668406c0e1bb3e00P¨Zr@69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411z
..z
U8..z
u8.