vim9script
# For the plugin yegappan/lsp. ClaudeCluster runs next to the language servers: name the filetypes you use.

import autoload 'lsp/lsp.vim'

var server = {
  name: 'claudecluster',
  filetype: ['c', 'cpp', 'go', 'java', 'javascript', 'python', 'ruby', 'rust', 'sh', 'typescript', 'vim'],
  path: 'claudecluster',
  args: ['lsp'],
  rootSearch: ['.git/'],
  initializationOptions: { claudecluster: { budgetUsd: 5 } },
}

# An autocommand is one line: it would not find the end of what is written over several.
autocmd User LspSetup g:LspAddServer([server])

def Run(command: string, argument: dict<any>)
  if lsp.Server()->empty()
    echohl ErrorMsg
    echo 'No language server is attached here: :LspShowAllServers tells which there are'
    echohl None
    return
  endif
  # After a menu the next command line stands too low, and Vim would wait for a key before it tells what changes.
  redraw!
  g:LspRequestCustom('claudecluster', 'workspace/executeCommand', { command: command, arguments: [argument] })
enddef

command! -nargs=+ ClaudeClusterGoal Run('claudecluster.goal.submit', { prompt: <q-args> })
command! -nargs=1 ClaudeClusterAccept Run('claudecluster.goal.accept', { goalId: <q-args> })
command! -nargs=1 ClaudeClusterCancel Run('claudecluster.goal.cancel', { goalId: <q-args> })
