if vim.g.loaded_claudecluster then
  return
end
vim.g.loaded_claudecluster = true

vim.api.nvim_create_user_command('ClaudeCluster', function(opts)
  require('claudecluster.command').run(opts)
end, {
  nargs = '*',
  range = true,
  desc = 'State goals and decide what comes of them',
  complete = function(...)
    return require('claudecluster.command').complete(...)
  end,
})

local group = vim.api.nvim_create_augroup('claudecluster', {})
vim.api.nvim_create_autocmd('LspAttach', {
  group = group,
  callback = function(args)
    local client = vim.lsp.get_client_by_id(args.data.client_id)
    if client and client.name == 'claudecluster' then
      require('claudecluster.pending').attach(args.buf)
      require('claudecluster.problems').pass_on(client)
    end
  end,
})
vim.api.nvim_create_autocmd('LspDetach', {
  group = group,
  callback = function(args)
    local client = vim.lsp.get_client_by_id(args.data.client_id)
    if client and client.name == 'claudecluster' then
      require('claudecluster.pending').detach(args.buf)
    end
  end,
})

vim.keymap.set('n', '<Plug>(claudecluster-goal)', '<Cmd>ClaudeCluster goal<CR>')
vim.keymap.set('x', '<Plug>(claudecluster-goal)', ':ClaudeCluster goal<CR>')

-- These take the lines of a selection as well.
for name, words in pairs({
  accept = 'accept',
  reject = 'reject',
  ['reject-reason'] = 'reject!',
  mine = 'resolve mine',
  theirs = 'resolve theirs',
  both = 'resolve both',
  repair = 'resolve repair',
}) do
  local map = ('<Plug>(claudecluster-%s)'):format(name)
  vim.keymap.set('n', map, ('<Cmd>ClaudeCluster %s<CR>'):format(words))
  vim.keymap.set('x', map, (':ClaudeCluster %s<CR>'):format(words))
end
vim.keymap.set('n', '<Plug>(claudecluster-undo)', '<Cmd>.ClaudeCluster undo<CR>')
vim.keymap.set('x', '<Plug>(claudecluster-undo)', ':ClaudeCluster undo<CR>')
for _, name in ipairs({ 'changes', 'next', 'prev', 'diff', 'toggle' }) do
  local map = ('<Plug>(claudecluster-%s)'):format(name)
  vim.keymap.set('n', map, ('<Cmd>ClaudeCluster %s<CR>'):format(name))
end
