"""Pictures, points and questions about them (PixMo and Molmo, arXiv 2409.17146).

points    points in replies, in the dialects of Molmo and Molmo 2
pointing  points against boxes or masks: precision, recall and F1
answers   counts, VQA's soft accuracy and ANLS
"""
