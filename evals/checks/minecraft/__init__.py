"""Minecraft commands: text -> words (`scan`) -> one spelling (`normal`) or a verdict (`grammar`).

`normal` spells words, `values` what stands in brackets. `grammar` asks mecha and adds the rules that it
leaves out (`rules`, with the ids in `ids`); `actions` and `tree` say which verbs a command runs on which
`targets`. `replies` finds the commands in an answer. All of it is pure; only `grammar.parse` costs more
than string work, and it is cached.
"""
