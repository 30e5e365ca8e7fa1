if vim.g.loaded_claudecluster then
  return
end
vim.g.loaded_claudecluster = true

vim.api.nvim_create_user_command('ClaudeCluster', function(opts)
  require('claudecluster.command').run(opts)
end, {
  nargs = '*',
  range = true,
  -- A number before it is a range of lines to some sub-commands and a count to others.
  addr = 'other',
  desc = 'Start goals and review their changes',
  complete = function(...)
    return require('claudecluster.complete').complete(...)
  end,
})

local group = vim.api.nvim_create_augroup('claudecluster', {})

---@param event string
---@param does fun(args: table, client: vim.lsp.Client)
local function on(event, does)
  vim.api.nvim_create_autocmd(event, {
    group = group,
    callback = function(args)
      local client = vim.lsp.get_client_by_id(args.data.client_id)
      if client and client.name == 'claudecluster' then
        does(args, client)
      end
    end,
  })
end

---@type table<integer, true> clients that have been seen
local known = {}

on('LspAttach', function(args, client)
  require('claudecluster.pending').attach(args.buf)
  require('claudecluster.problems').pass_on(client)
  if not known[client.id] then
    known[client.id] = true
    if vim.tbl_count(known) == 1 then
      require('claudecluster.status').follow()
    end
    require('claudecluster.goals').load(false)
    require('claudecluster.permissions').attach(client)
  end
end)
on('LspDetach', function(args, client)
  require('claudecluster.pending').detach(args.buf)
  if vim.tbl_count(client.attached_buffers) <= 1 then
    require('claudecluster.progress').forget(client.id)
    require('claudecluster.goals').forget_questions()
  end
end)
on('LspProgress', function(args, client)
  require('claudecluster.progress').on_progress(client.id, args.data.params)
end)
vim.api.nvim_create_autocmd('ColorScheme', {
  group = group,
  callback = function()
    require('claudecluster.highlights').define()
  end,
})

-- What has a mapping of its own, and what it runs. In visual mode they are about the lines of the selection.
---@type table<string, string>
local with_lines = {
  goal = 'goal',
  accept = 'accept',
  reject = 'reject',
  ['reject-reason'] = 'reject!',
  mine = 'resolve mine',
  theirs = 'resolve theirs',
  both = 'resolve both',
  markers = 'resolve markers',
  repair = 'resolve repair',
}
for name, words in pairs(with_lines) do
  local map = ('<Plug>(claudecluster-%s)'):format(name)
  vim.keymap.set('n', map, ('<Cmd>ClaudeCluster %s<CR>'):format(words))
  vim.keymap.set('x', map, (':ClaudeCluster %s<CR>'):format(words))
end
vim.keymap.set('n', '<Plug>(claudecluster-undo)', '<Cmd>.ClaudeCluster undo<CR>')
vim.keymap.set('x', '<Plug>(claudecluster-undo)', ':ClaudeCluster undo<CR>')

---@type table<string, string>
local plain = {
  goals = 'goals',
  show = 'show',
  plan = 'plan',
  approve = 'approve',
  redo = 'redo',
  diff = 'diff',
  ['diff-base'] = 'diff base',
  ['diff-proposed'] = 'diff proposed',
  ['diff-merged'] = 'diff merged',
  ['diff-all'] = 'diff all',
  toggle = 'toggle',
  changes = 'quickfix',
  quickfix = 'quickfix',
  loclist = 'loclist',
  ['pick-changes'] = 'pick changes',
  ['pick-goals'] = 'pick goals',
  permissions = 'permissions',
  cancel = 'cancel',
  retry = 'retry',
  log = 'log',
  health = 'health',
}
for name, words in pairs(plain) do
  local map = ('<Plug>(claudecluster-%s)'):format(name)
  vim.keymap.set('n', map, ('<Cmd>ClaudeCluster %s<CR>'):format(words))
end

-- Motions: they take counts, select, and are what an operator works on.
for name, direction in pairs({ next = 1, prev = -1 }) do
  vim.keymap.set({ 'n', 'x', 'o' }, ('<Plug>(claudecluster-%s)'):format(name), function()
    require('claudecluster').jump(direction, vim.v.count1)
  end)
end
