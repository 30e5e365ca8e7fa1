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

vim.keymap.set('n', '<Plug>(claudecluster-goal)', '<Cmd>ClaudeCluster goal<CR>')
vim.keymap.set('x', '<Plug>(claudecluster-goal)', ':ClaudeCluster goal<CR>')
vim.keymap.set('n', '<Plug>(claudecluster-accept)', '<Cmd>ClaudeCluster accept<CR>')
vim.keymap.set('n', '<Plug>(claudecluster-reject)', '<Cmd>ClaudeCluster reject<CR>')
vim.keymap.set('n', '<Plug>(claudecluster-changes)', '<Cmd>ClaudeCluster changes<CR>')
