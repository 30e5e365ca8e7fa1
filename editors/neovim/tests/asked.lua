-- Runs in a headless Neovim, started by server/lsp/tests/it/neovim.rs with the plugin on the runtime path. The
-- server here is a table of answers: what workers ask for, plans that are documents, pickers that are not
-- installed. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('prelude')
local equal, eventually = user.equal, user.eventually

local workspace = arg[1]

-- What the server was asked, and what it answers.
local asked = {}
local answers = {
  ['claudecluster.goal.list'] = {},
  ['claudecluster.permission.list'] = {
    { id = 'p0', goalId = 'g1', taskIds = { 'a' }, tool = 'Bash', detail = 'ls', askedAt = 0 },
  },
  ['claudecluster.permission.answer'] = vim.NIL,
  ['claudecluster.plan.open'] = { uri = vim.uri_from_fname(workspace .. '/g1.plan.json') },
  ['claudecluster.plan.approve'] = vim.NIL,
  ['claudecluster.goal.submit'] = { goalId = 'g1', duplicateOf = 'g1' },
}
---@type fun(item: table)
local tell

---@param dispatchers vim.lsp.rpc.Dispatchers
local function serve(dispatchers)
  tell = function(item)
    dispatchers.notification('claudecluster/event', item)
  end
  local closing = false
  return {
    request = function(method, params, callback)
      local result = vim.empty_dict()
      if method == 'initialize' then
        local provider = { commands = vim.tbl_keys(answers) }
        result =
          { capabilities = { executeCommandProvider = provider }, serverInfo = { name = 'x' } }
      elseif method == 'workspace/executeCommand' then
        local argument = params.arguments[1]
        table.insert(asked, { params.command:gsub('^claudecluster%.', ''), argument })
        asked[#asked][1] = (params.command:gsub('^claudecluster%.', ''))
        result = answers[params.command]
        if result == nil then
          result = vim.NIL
        end
      elseif method == 'claudecluster/changes' then
        result = { documents = _G.documents or {} }
      end
      vim.schedule(function()
        callback(nil, result ~= vim.NIL and result or nil)
      end)
      return true, #asked
    end,
    notify = function(method)
      closing = closing or method == 'exit'
      return true
    end,
    is_closing = function()
      return closing
    end,
    terminate = function()
      closing = true
    end,
  }
end

---What the server was asked since the last look, apart from looking around.
local function since()
  local found = vim.tbl_filter(function(call)
    return not vim.list_contains({ 'goal.list', 'goal.show', 'permission.list' }, call[1])
  end, asked)
  asked = {}
  return vim.tbl_map(function(call)
    return { call[1], call[2] }
  end, found)
end

---@param command string
---@param expected any[]
local function sends(command, expected)
  vim.cmd('ClaudeCluster ' .. command)
  local found = {}
  vim.wait(20000, function()
    vim.list_extend(found, since())
    return #found >= #expected
  end, 5)
  equal(expected, found, command)
end

vim.cmd.runtime('plugin/claudecluster.lua')
require('claudecluster').setup({ lsp = { cmd = serve } })
vim.cmd.edit(workspace .. '/a.rs')
vim.bo.filetype = 'rust'
user.attached()

-- A goal of which nothing has been heard here, as when it was stated on the command line just now.
answers['claudecluster.goal.list'] = { { id = 'g7', prompt = 'make it', state = 'planning' } }
equal({ 'g7' }, vim.fn.getcompletion('ClaudeCluster cancel ', 'cmdline'), 'it is completed')
answers['claudecluster.goal.list'] = {}

-- What was asked before this editor came.
eventually('it is told', function()
  return require('claudecluster').status() == '1 question'
end)
equal(
  { 'ClaudeCluster: 1 open permission request; answer with :ClaudeCluster permissions' },
  user.messages,
  'told'
)
tell({ type = 'permissionWithdrawn', seq = 1, goalId = 'g1', requestId = 'p0' })
eventually('it is gone', function()
  return require('claudecluster').status() == ''
end)
user.messages = {}

-- A question is a notice. Whoever types goes on typing.
local request = {
  id = 'p1',
  goalId = 'g1',
  taskIds = { 'a', 'b' },
  tool = 'Bash',
  detail = 'cargo\npublish',
  askedAt = 0,
}
vim.ui.select = function()
  error('nothing is asked by itself')
end
tell({ type = 'permissionAsked', seq = 1, goalId = 'g1', request = request })
eventually('the question is told', function()
  return vim.startswith(
    user.messages[1] or '',
    'ClaudeCluster: g1/a, b: Bash cargo publish: permission requested'
  )
end)
equal('1 question', require('claudecluster').status(), 'the status line has it')
local once = #user.messages
tell({ type = 'permissionAsked', seq = 2, goalId = 'g1', request = request })
vim.wait(50)
equal(once, #user.messages, 'others that wait for the same are no news')
equal({ 'p1' }, vim.fn.getcompletion('ClaudeCluster permissions ', 'cmdline'), 'it is completed')

-- One question is shown at once, of several one is chosen; then the answer.
local labels, wanted = {}, {}
vim.ui.select = function(items, opts, choose)
  local title = table.remove(wanted, 1)
  for _, item in ipairs(items) do
    local label = opts.format_item(item)
    table.insert(labels, label)
    if label == title then
      choose(item)
      return
    end
  end
  choose(nil)
end
answers['claudecluster.permission.list'] = { request }
local answer = 'permission.answer'
for label, expected in pairs({
  ['Allow once'] = { requestId = 'p1', decision = 'allow', scope = 'once' },
  ['Allow for the task'] = { requestId = 'p1', decision = 'allow', scope = 'task' },
  ['Allow for the goal'] = { requestId = 'p1', decision = 'allow', scope = 'goal' },
  ['Deny'] = { requestId = 'p1', decision = 'deny', scope = 'once' },
}) do
  labels = {}
  wanted = { label }
  sends('permissions', { { answer, expected } })
  equal(false, vim.list_contains(labels, 'Always allow this host'), 'no tool is allowed for always')
end
-- Only a host is.
local host =
  vim.tbl_extend('force', request, { tool = 'Network', detail = 'a.example:443 — tool' })
answers['claudecluster.permission.list'] = { host }
wanted = { 'Always allow this host' }
local forever = { requestId = 'p1', decision = 'allow', scope = 'always' }
sends('permissions', { { answer, forever } })
sends('permissions p1 allow always', { { answer, forever } })
answers['claudecluster.permission.list'] = { request }
vim.ui.input = function(_, done)
  done(' too early ')
end
wanted = { 'Deny with a reason' }
local denied = { requestId = 'p1', decision = 'deny', scope = 'once', reason = 'too early' }
sends('permissions', { { answer, denied } })
local second = vim.tbl_extend('force', request, { id = 'p2', detail = 'ls' })
answers['claudecluster.permission.list'] = { request, second }
wanted = { 'g1/a, b: Bash ls', 'Allow once' }
sends('permissions', { { answer, { requestId = 'p2', decision = 'allow', scope = 'once' } } })
sends('permissions p1 deny goal', {
  { answer, { requestId = 'p1', decision = 'deny', scope = 'goal' } },
})
tell({
  type = 'permissionAnswered',
  seq = 2,
  goalId = 'g1',
  requestId = 'p1',
  decision = 'deny',
  scope = 'goal',
})
tell({ type = 'permissionWithdrawn', seq = 3, goalId = 'g1', requestId = 'p2' })
eventually('nothing is open', function()
  return require('claudecluster').status() == ''
end)
answers['claudecluster.permission.list'] = {}
vim.cmd('ClaudeCluster permissions')
eventually('no open permission requests', function()
  return vim.list_contains(user.messages, 'ClaudeCluster: no open permission requests')
end)
since()

-- A task before which the plan pauses.
tell({ type = 'taskChanged', seq = 4, goalId = 'g1', taskId = 'a', state = 'paused' })
eventually('it is told', function()
  return vim.startswith(
    user.messages[#user.messages],
    'ClaudeCluster: g1: task a is waiting for approval; approve it with :ClaudeCluster approve'
  )
end)

-- A plan is a document, and what it says is approved.
sends('approve g1', { { 'plan.approve', { goalId = 'g1' } } })
sends('plan g1', { { 'plan.open', { goalId = 'g1' } } })
eventually('the plan is open', function()
  return vim.endswith(vim.api.nvim_buf_get_name(0), '/g1.plan.json')
end)
local uri = vim.uri_from_bufnr(0)
sends('approve g1', { { 'plan.approve', { goalId = 'g1', uri = uri } } })
sends('approve g1 a', { { 'plan.approve', { goalId = 'g1', taskId = 'a' } } })
vim.cmd.close()

-- The same goal twice: the user says what is to become of it.
vim.ui.select = function(items, _, choose)
  equal({ 'Show it', 'Start another' }, items, 'the choice')
  answers['claudecluster.goal.submit'] = { goalId = 'g2' }
  choose(items[2])
end
local scope = { uris = { vim.uri_from_bufnr(0) } }
sends('goal the same', {
  { 'goal.submit', { prompt = 'the same', scope = scope } },
  { 'goal.submit', { prompt = 'the same', scope = scope, again = true } },
})
eventually('it is told', function()
  return vim.list_contains(user.messages, 'ClaudeCluster: started g2')
end)

-- Pickers are used where they are there. These stand for them.
_G.documents = {
  {
    uri = vim.uri_from_fname(workspace .. '/a.rs'),
    hunks = {
      {
        id = 'g1.1',
        path = 'a.rs',
        kind = 'modify',
        status = 'clean',
        startLine = 1,
        endLine = 2,
        oldText = 'a\n',
        newText = 'b\n',
        provenance = { { task = 'a', title = 'Change a', attempt = 1 } },
      },
    },
  },
}
---@type string[]?
local picked
package.loaded['fzf-lua'] = {
  fzf_exec = function(found, opts)
    picked = found
    opts.actions.default({ found[1] })
  end,
}
vim.api.nvim_win_set_cursor(0, { 1, 0 })
vim.cmd('ClaudeCluster pick')
eventually('fzf-lua has the changes, and goes to the one that is chosen', function()
  return picked ~= nil and vim.fn.line('.') == 2
end)
equal('a.rs:2 g1.1 clean Change a', (assert(picked)[1]:gsub('^.*/', '')), 'the change')
local prompt_title
---@type fun()?
local opened
---@type table
local chosen
package.loaded['telescope'] = {
  register_extension = function(extension)
    return extension
  end,
}
package.loaded['telescope.actions'] = {
  select_default = {
    replace = function(_, run)
      opened = run
    end,
  },
  close = function() end,
}
package.loaded['telescope.actions.state'] = {
  get_selected_entry = function()
    return chosen
  end,
}
package.loaded['telescope.config'] = {
  values = { generic_sorter = function() end, grep_previewer = function() end },
}
package.loaded['telescope.finders'] = {
  new_table = function(opts)
    chosen = opts.entry_maker(opts.results[1])
    return {}
  end,
}
package.loaded['telescope.pickers'] = {
  new = function(_, opts)
    prompt_title = opts.prompt_title
    return {
      find = function()
        opts.attach_mappings(0)
      end,
    }
  end,
}
vim.api.nvim_win_set_cursor(0, { 1, 0 })
require('telescope._extensions.claudecluster').exports.changes()
eventually('telescope has them', function()
  return opened ~= nil
end)
equal({ 'Changes', 2 }, { prompt_title, chosen.lnum }, 'the change')
assert(opened)()
equal(2, vim.fn.line('.'), 'and goes there')

-- Colours are those of the colour scheme, also of the next one.
for _, scheme in ipairs({ 'default', 'habamax', 'morning' }) do
  vim.cmd.colorscheme(scheme)
  for name, link in pairs({
    ClaudeClusterAdd = 'DiffAdd',
    ClaudeClusterDelete = 'DiffDelete',
    ClaudeClusterConflict = 'DiagnosticWarn',
    ClaudeClusterDone = 'DiagnosticOk',
    ClaudeClusterFile = 'Directory',
  }) do
    equal(link, vim.api.nvim_get_hl(0, { name = name }).link, name .. ' in ' .. scheme)
  end
end
vim.api.nvim_set_hl(0, 'ClaudeClusterAdd', { bold = true })
require('claudecluster.highlights').define()
equal(
  { bold = true },
  { bold = vim.api.nvim_get_hl(0, { name = 'ClaudeClusterAdd' }).bold },
  "the user's own stay"
)

-- The help has tags, and everything that is there is in it.
local this = assert(debug.getinfo(1, 'S')).source:sub(2)
local plugin = vim.fs.dirname(vim.fs.dirname(vim.fs.normalize(this)))
local help = workspace .. '/help/doc'
vim.fn.mkdir(help, 'p')
vim.fn.writefile(vim.fn.readfile(plugin .. '/doc/claudecluster.txt'), help .. '/claudecluster.txt')
vim.cmd.helptags(help)
vim.opt.runtimepath:prepend(workspace .. '/help')
local text = table.concat(vim.fn.readfile(help .. '/claudecluster.txt'), '\n')
for _, line in ipairs(vim.fn.readfile(help .. '/tags')) do
  local tag = line:match('^[^\t]+')
  vim.cmd.help(tag)
  local here = vim.api.nvim_get_current_line()
  equal(true, here:find('*' .. tag .. '*', 1, true) ~= nil, tag .. ' is followed')
end
local missing = {}
for _, name in ipairs(require('claudecluster.command').names()) do
  if not text:find('ClaudeCluster ' .. name, 1, true) then
    table.insert(missing, name)
  end
end
for _, map in ipairs(vim.api.nvim_get_keymap('n')) do
  if
    vim.startswith(map.lhs or '', '<Plug>(claudecluster-') and not text:find(map.lhs or '', 1, true)
  then
    table.insert(missing, map.lhs)
  end
end
for name in pairs(vim.api.nvim_get_hl(0, {})) do
  if vim.startswith(name, 'ClaudeCluster') and not text:find(name, 1, true) then
    table.insert(missing, name)
  end
end
for _, key in ipairs(require('claudecluster.board.keys').keys) do
  if
    not text:find('\n' .. key.key .. ' ', 1, true)
    and not text:find('\n' .. key.key .. '\t', 1, true)
  then
    table.insert(missing, 'key ' .. key.key)
  end
end
-- 0.10 has no help on what it has not.
local newer = vim.fn.has('nvim-0.11') == 0
    and { 'vim.lsp.enable()', 'vim.lsp.Config', 'vim.lsp.config()' }
  or {}
for link in text:gmatch('[%s(]|([^|%s]+)|') do
  if #vim.fn.getcompletion(link, 'help') == 0 and not vim.list_contains(newer, link) then
    table.insert(missing, 'a place for |' .. link .. '|')
  end
end
equal({}, missing, 'the help lacks')
user.stop(true)
