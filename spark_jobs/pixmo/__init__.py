"""Pictures, points and questions about them (PixMo and Molmo, arXiv 2409.17146).

raw          the published files of each dataset, and the rows made of them
loading      reading these files
units        percent or pixels, row by row
points    points in replies, in the dialects of Molmo and Molmo 2
pointing  points against boxes or masks: precision, recall and F1
answers   counts, VQA's soft accuracy and ANLS
"""
