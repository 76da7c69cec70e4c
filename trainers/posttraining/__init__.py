"""Post-training: fine-tuning on chats, preferences, reward models, and reinforcement learning from verified rewards.

rows            rows of JSON lines, checked
labels          chats to tokens, and which of them are trained on
examples        the tokens of a data set, kept on disk
layout          several texts in the rows of one batch, padded or packed
losses          SFT, DPO and its kin, KTO, Bradley-Terry, PPO and GRPO, as functions of log-probabilities
advantages      GAE, and the advantages of groups of rollouts
models          a decoder with a number a token in place of logits; adapters (LoRA)
config          what a configuration file may say
sft, preferences, reward, rlvr   the objectives of the training loop
rollouts        replies that the policy writes, with their rewards, as rows
sample_losses   the loss of every training row at every epoch, as rows
"""
