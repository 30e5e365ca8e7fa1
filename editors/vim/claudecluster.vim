vim9script
# For the plugin yegappan/lsp. ClaudeCluster runs beside the server of the language: name the filetypes you use.

autocmd User LspSetup g:LspAddServer([{
  name: 'claudecluster',
  filetype: ['c', 'cpp', 'go', 'java', 'javascript', 'python', 'ruby', 'rust', 'sh', 'typescript', 'vim'],
  path: 'claudecluster',
  args: ['lsp'],
  rootSearch: ['.git/'],
  initializationOptions: { claudecluster: { budgetUsd: 5 } },
}])
