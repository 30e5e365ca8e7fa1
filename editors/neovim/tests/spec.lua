-- Runs in a headless Neovim, started by server/lsp/tests/it/neovim.rs with the plugin on the runtime
-- path. Arguments: the server's socket and the workspace. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('prelude')
local check, eventually, told, hears = user.check, user.eventually, user.told, user.hears
local text = user.text

local socket, workspace = arg[1], arg[2]

local progress = {}
vim.api.nvim_create_autocmd('LspProgress', {
  callback = function(event)
    table.insert(progress, event.data.params.value)
  end,
})

vim.cmd.runtime('plugin/claudecluster.lua')

-- Before there is a server, a command says what to do.
vim.cmd('ClaudeCluster goals')
local is_native = vim.fn.has('nvim-0.11') == 1
local call = is_native and "vim.lsp.enable('claudecluster')" or "require('claudecluster').setup()"
hears(call, 'a missing server is explained')
vim.cmd('ClaudeCluster nonsense')
hears('unknown command "nonsense"', 'an unknown subcommand is explained')
check(
  vim.deep_equal(vim.fn.getcompletion('ClaudeCluster go', 'cmdline'), { 'goal', 'goals' }),
  'subcommands are completed'
)

-- Attach, with what the plugin ships and nothing else.
local config = {
  cmd = vim.lsp.rpc.connect(socket),
  settings = { claudecluster = { jobs = 2, budgetUsd = 5, gates = 'no list' } },
}
if is_native then
  vim.lsp.config('claudecluster', config)
  vim.lsp.enable('claudecluster')
else
  require('claudecluster').setup({ lsp = config })
end
local client = user.open(workspace .. '/a.rs')
check(client.root_dir == workspace, 'the folder with .git is the workspace')
check(client.offset_encoding == (is_native and 'utf-8' or 'utf-16'), 'the first encoding it offers')

eventually('a wrong setting is named', function()
  return told('claudecluster.gates: ')
end)

-- A goal for a range, with text that is in no file.
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// typed 😀, not saved' })
vim.cmd('3,4ClaudeCluster goal rename things')
eventually('the goal is submitted', function()
  return told('started g1')
end)
eventually('progress begins', function()
  return #progress > 0
end)
vim.cmd('ClaudeCluster approve g1')
eventually('the proposal is announced', function()
  return told('g1 proposes changes to 1 file')
end)
hears('planned g1: 2 tasks', 'the plan is announced')
check(
  vim.deep_equal(vim.fn.getcompletion('ClaudeCluster cancel g', 'cmdline'), { 'g1' }),
  'goals are completed'
)
eventually('progress ends', function()
  return #progress > 0 and progress[#progress].kind == 'end'
end)
check(
  vim.deep_equal(
    vim.fn.getcompletion('ClaudeCluster resolve m', 'cmdline'),
    { 'markers', 'merged', 'mine' }
  ),
  'ways to resolve are completed'
)
check(progress[1].kind == 'begin', 'progress begins')
check(progress[#progress].message == '2 changes proposed in 1 file', 'progress tells the outcome')

-- What is pending is in the text: lines that go, lines that come, who proposes them.
local ns = vim.api.nvim_create_namespace('claudecluster')
---@alias spec.Mark [integer, integer, integer, vim.api.keyset.extmark_details]

---@return spec.Mark[]
local function marks()
  local found = vim.api.nvim_buf_get_extmarks(0, ns, 0, -1, { details = true })
  return found --[[@as spec.Mark[] ]]
end
---What is shown between the lines: `row: text` for every virtual line, in order; `^` goes before the row.
local function between()
  local found = {}
  for _, mark in ipairs(marks()) do
    for _, line in ipairs(mark[4].virt_lines or {}) do
      local words = {}
      for _, chunk in ipairs(line) do
        table.insert(words, chunk[1])
      end
      local said = vim.trim((table.concat(words):gsub('─', '')))
      local place = (mark[4].virt_lines_above and '^' or '') .. mark[2]
      table.insert(found, ('%s: %s'):format(place, said))
    end
  end
  return found
end
local function highlighted(group)
  for _, mark in ipairs(marks()) do
    if mark[4].hl_group == group then
      return { mark[2], mark[4].end_row }
    end
  end
end
eventually('pending hunks are shown', function()
  return #between() == 2
end)
check(
  vim.deep_equal(between(), {
    '^3: let new_one = 1;  Rename things (g1)',
    '^4: let new_two = 2;  Rename things (g1)',
  }),
  'where they are, not ' .. vim.inspect(between())
)
check(vim.deep_equal(highlighted('ClaudeClusterDelete'), { 2, 3 }), 'what goes is highlighted')
-- They move with the text at once, before the server knows of the change.
local pending = require('claudecluster.pending')
local on_pending = pending.on_pending
local newest = 0
pending.on_pending = function(news)
  newest = news.version --[[@as integer]]
  on_pending(news)
end
local uri, old = vim.uri_from_bufnr(0), vim.b.changedtick
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// above' })
check(vim.startswith(between()[1], '^4: let new_one'), 'they move with the text')
-- What was told of the text before is not drawn over it.
on_pending({ uri = uri, version = old, hunks = {} })
check(#between() == 2, 'stale word changes nothing')
eventually('the server follows', function()
  return newest > old and vim.startswith(between()[1], '^4: let new_one')
end)
vim.api.nvim_buf_set_lines(0, 0, 1, false, {})
vim.cmd('ClaudeCluster toggle')
check(#marks() == 0, 'they can be hidden')
vim.cmd('ClaudeCluster toggle')
eventually('they are shown again', function()
  return between()[1] and vim.startswith(between()[1], '^3: let new_one')
end)
-- From one to the next, around the end of the file.
vim.api.nvim_win_set_cursor(0, { 1, 0 })
local function jumps(command, line)
  vim.cmd('ClaudeCluster ' .. command)
  eventually(command .. ' is on line ' .. line, function()
    return vim.fn.line('.') == line
  end)
end
jumps('next', 3)
jumps('next', 4)
jumps('next', 3)
jumps('prev', 4)
local function floats()
  return user.float() ~= nil
end
---@return string
local function close_float()
  local said, window = user.float()
  vim.api.nvim_win_close(assert(window), true)
  return assert(said)
end
vim.cmd('ClaudeCluster diff')
eventually('the diff floats', floats)
local diff = close_float()
check(
  diff:find('-    let old_two = 2;\n+    let new_two = 2;', 1, true),
  'it has both sides: ' .. diff
)
vim.lsp.buf.hover()
eventually('hover says who proposes it', floats)
local hover = close_float()
check(hover:find('Rename things', 1, true), 'hover: ' .. hover)

-- An accept from the menu of code actions, into a buffer with unsaved text: one undo step.
local before = text()
vim.api.nvim_win_set_cursor(0, { 3, 0 })
user.act('Accept change from Rename things')
eventually('the first change is in the buffer', function()
  return text():find('let new_one', 1, true) ~= nil
end)
check(vim.list_contains(user.titles, 'Reject change from Rename things'), 'reject is offered')
check(vim.list_contains(user.titles, 'Accept all changes of goal g1'), 'accept all is offered')
check(vim.list_contains(user.titles, 'Start a goal for this line…'), 'a goal is offered')
local after = text()
check(after == before:gsub('old_one', 'new_one', 1), 'nothing else has changed')
vim.cmd.undo()
check(text() == before, 'one undo takes the accept back, and nothing more')
vim.cmd.redo()
check(text() == after, 'redo brings it again')

-- An accept by the command: the server makes the edit, as an undo step of its own even while
-- somebody types.
vim.api.nvim_buf_set_lines(0, -1, -1, false, { '// being typed' })
after = text()
vim.api.nvim_win_set_cursor(0, { 4, 0 })
vim.cmd('ClaudeCluster accept')
eventually('the second change is in the buffer', function()
  return text():find('let new_two', 1, true) ~= nil
end)
vim.cmd.undo()
check(text() == after, 'one undo takes it back')
vim.cmd.redo()
check(vim.bo.modified, 'nothing was saved')

-- Typing while an edit is on its way. The first change is sent at once, the second held back; the
-- edit of the server arrives in between, for a text that is gone.
vim.cmd('ClaudeCluster retry g1')
vim.wait(30)
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// kept one' })
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// kept two' })
eventually('the server has looked at its edit', function()
  return told('looked')
end)
check(vim.startswith(text(), '// kept two\n// kept one\n// typed 😀'), 'what was typed is there')

-- Lists.
vim.cmd('ClaudeCluster goals')
eventually('goals are listed', function()
  return text():find('make it better', 1, true) ~= nil
end)
vim.cmd.close()

-- Files that are in no buffer: one by name, one from the menu of any place.
-- The accept of before may still be on its way into the list of what is decided.
local function completed()
  return vim.fn.getcompletion('ClaudeCluster accept g1 ', 'cmdline')
end
for _ = 1, 200 do
  if #completed() == 2 then
    break
  end
  vim.wait(50)
end
check(
  vim.deep_equal(completed(), { [[new\ one.rs]], 'unwanted.rs' }),
  'files are completed, not ' .. vim.inspect(completed())
)
vim.cmd([[ClaudeCluster accept g1 new\ one.rs]])
eventually('the file is there', function()
  return vim.fn.filereadable(workspace .. '/new one.rs') == 1
end)
eventually('it is no longer pending', function()
  return #vim.fn.getcompletion('ClaudeCluster accept g1 ', 'cmdline') == 1
end)
user.act('Reject new file unwanted.rs from Rename things')
eventually('nothing of the goal is left', function()
  return #vim.fn.getcompletion('ClaudeCluster accept g1 ', 'cmdline') == 0
end)
check(vim.fn.filereadable(workspace .. '/unwanted.rs') == 0, 'what is rejected is not there')
vim.cmd('ClaudeCluster changes')
eventually('nothing is pending any more', function()
  return told('no pending changes')
end)
vim.cmd('ClaudeCluster cancel g7')
eventually('an error of the server is shown', function()
  return told('there is no goal g7')
end)
vim.cmd('ClaudeCluster show g1')
eventually('the goal is shown', function()
  return vim.bo.filetype == 'markdown'
end)
check(text():find('# g1: proposed', 1, true), 'with its state')
vim.cmd.close()

-- A conflict shows both sides; the first line of the file is what it is about.
vim.cmd('ClaudeCluster retry g1')
eventually('the conflict is shown', function()
  return #between() == 4
end)
check(
  vim.deep_equal(between(), {
    '^0: conflict: written by you',
    '^1: proposed by Rename things (g3)',
    '^1: // theirs',
    '^1: end of conflict',
  }),
  'both sides, not ' .. vim.inspect(between())
)
check(vim.deep_equal(highlighted('ClaudeClusterMine'), { 0, 1 }), 'what is mine is highlighted')
-- What is there is nobody's side where two tasks want something else.
vim.cmd('ClaudeCluster retry g1')
eventually('both tasks are named', function()
  return between()[1] == '^0: conflict: proposed by Go left'
end)
vim.api.nvim_win_set_cursor(0, { 1, 0 })
vim.cmd('ClaudeCluster resolve')
hears('missing resolution', 'what it may become is told')
local mine = vim.api.nvim_buf_get_lines(0, 0, 1, false)[1]
vim.cmd('ClaudeCluster resolve both')
eventually('both are there, one below the other', function()
  return vim.deep_equal(vim.api.nvim_buf_get_lines(0, 0, 2, false), { mine, '// theirs' })
end)
eventually('nothing is left of it', function()
  return #marks() == 0
end)

-- A rejection may ask why.
vim.ui.input = function(_, done)
  done('not like that')
end
vim.cmd('ClaudeCluster retry g1')
eventually('another one is shown', function()
  return #between() == 1
end)
jumps('next', 3)
vim.cmd('ClaudeCluster reject!')
eventually('it is gone', function()
  return #marks() == 0
end)

-- What has landed is taken back where it is.
check(vim.startswith(text(), '// kept two\n'), 'it is there')
vim.cmd('1ClaudeCluster undo')
eventually('it is gone', function()
  return not text():find('// kept two', 1, true)
end)

-- Settings change while the server runs.
client.settings = { claudecluster = { jobs = 3, scope = 'workspace' } }
require('claudecluster.client').tell(
  client,
  'workspace/didChangeConfiguration',
  { settings = client.settings }
)

-- The words of a goal are written in a window, and stated when they are written.
vim.cmd('ClaudeCluster goal')
check(vim.api.nvim_buf_get_name(0) == 'claudecluster://goal', 'a window to write in')
vim.cmd.write()
hears('the goal is empty', 'nothing is no goal')
vim.api.nvim_buf_set_lines(0, 0, -1, false, { 'asked for', '', 'in two parts' })
vim.cmd.write()
eventually('the second goal is submitted', function()
  return told('started g2')
end)
eventually('the window is gone', function()
  return vim.fn.bufexists('claudecluster://goal') == 0
end)

user.stop()
eventually('the server has gone', function()
  return client.rpc.is_closing()
end)
