-- The user of tests/it/neovim/commands.rs: every sub-command of :ClaudeCluster once, against the real daemon, with
-- ranges, counts, completion and <Plug> maps. Argument: the workspace, with `f.txt` and `g.txt` of nine lines
-- each. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('inside')
local check, eventually, equal, told, hears = user.check, user.eventually, user.equal, user.told, user.hears

local workspace = arg[1]

-- What has been used: at the end it has to be everything there is.
local command = require('claudecluster.command')
local used = {}
for name, subcommand in pairs(command.subcommands) do
  command.subcommands[name] = function(...)
    used[name] = true
    return subcommand(...)
  end
end

-- Before there is a server.
vim.cmd('ClaudeCluster goals')
hears('no server is running', 'a missing server is explained')
require('claudecluster').setup({ nonsense = 1, signs = 'yes', settings = { scop = 'open', jobs = 2 } })
for _, part in ipairs({ '"nonsense"', 'signs must be a boolean', '"scop"' }) do
  hears(part, 'setup tells what is wrong: ' .. part)
end
equal({ jobs = 2 }, require('claudecluster.server').config().settings.claudecluster, 'the rest holds')
user.open(workspace .. '/f.txt')

---@param line string
---@param expected string[]
local function completes(line, expected)
  equal(expected, vim.fn.getcompletion('ClaudeCluster ' .. line, 'cmdline'), 'completion of ' .. line)
end

---@param line integer
local function go(line)
  vim.api.nvim_win_set_cursor(0, { line, 0 })
end

---@param line integer
---@param text string
local function line_is(line, text)
  eventually(('line %d is %q'):format(line, text), function()
    return vim.api.nvim_buf_get_lines(0, line - 1, line, false)[1] == text
  end)
end

---@param count integer
local function left(count)
  eventually(count .. ' are pending', function()
    return #user.pending() == count
  end)
end

---A plan of two tasks: three lines of f.txt, one of g.txt.
---@param word string
local function propose(word)
  local done = user.goal(workspace, {
    { id = 'f', title = 'Change f', run = ("sed -i 's/^a\\([258]\\)$/%s\\1/' f.txt"):format(word) },
    { id = 'g', title = 'Change g', run = ("sed -i 's/^b5$/%s5/' g.txt"):format(word) },
  }, 'make it ' .. word)
  check(done.code == 0, vim.inspect(done))
end

propose('one')
eventually('what is pending is known', function()
  return #require('claudecluster.pending').lines(0) == 3
end)
left(4)

-- Motions: counts before and after the command, around the end, from where the cursor is.
for _, case in ipairs({
  { 1, 'ClaudeCluster next', 2 },
  { 2, 'ClaudeCluster next', 5 },
  { 1, '3ClaudeCluster next', 8 },
  { 1, '200ClaudeCluster next', 5 },
  { 9, 'ClaudeCluster next', 2 },
  { 5, 'ClaudeCluster prev', 2 },
  { 9, '2ClaudeCluster prev', 5 },
  { 1, 'ClaudeCluster prev', 8 },
}) do
  go(case[1])
  vim.cmd(case[2])
  equal(case[3], vim.fn.line('.'), case[2] .. ' from ' .. case[1])
end
vim.keymap.set({ 'n', 'x', 'o' }, ']g', '<Plug>(claudecluster-next)')
vim.keymap.set({ 'n', 'x', 'o' }, '[g', '<Plug>(claudecluster-prev)')
go(1)
user.press('2]g')
equal(5, vim.fn.line('.'), 'a count before the map')
go(1)
user.press('V]gy')
equal('a1\na2\n', vim.fn.getreg('"'), 'it selects')
go(3)
user.press('y]g')
equal('a3\na4\n', vim.fn.getreg('"'), 'an operator works on it')
user.press('<C-o>')
go(2)

-- Completion.
completes('go', { 'goal', 'goals' })
completes('show ', { 'g1' })
completes('retry g1 ', { 'f', 'g' })
completes('accept g1 ', { 'f', 'f.txt', 'g', 'g.txt' })
completes('accept g1 g', { 'g', 'g.txt' })
completes('diff ', { 'all', 'base', 'float', 'merged', 'proposed' })
completes('pick ', { 'changes', 'goals' })
completes('resolve m', { 'markers', 'merged', 'mine' })
completes('permissions p1 ', { 'allow', 'deny' })
completes('permissions p1 allow ', { 'always', 'goal', 'once', 'task' })
completes('next ', {})
local ids = vim.tbl_map(function(hunk)
  return hunk.id
end, user.pending())
table.sort(ids)
completes('accept g1.', ids)

-- Lists.
vim.cmd('ClaudeCluster quickfix')
eventually('everything is in the quickfix list', function()
  return #vim.fn.getqflist() == 4
end)
user.only()
vim.cmd.buffer('f.txt')
vim.cmd('ClaudeCluster loclist g1')
eventually('what is in this file is in the location list', function()
  return #vim.fn.getloclist(0) == 3
end)
equal({ 2, 5, 8 }, vim.tbl_map(function(item)
  return item.lnum
end, vim.fn.getloclist(0)), 'its lines')
user.only()
vim.cmd.buffer('f.txt')
vim.cmd('ClaudeCluster changes g7')
eventually('another goal has nothing', function()
  return told('no pending changes')
end)

-- Diffs.
go(5)
vim.cmd('ClaudeCluster diff')
eventually('a diff floats', function()
  return (user.float() or ''):find('-a5\n+one5', 1, true)
end)
user.only()
for how, names in pairs({
  all = { 'base', 'f.txt', 'proposed' },
  base = { 'base', 'f.txt' },
  proposed = { 'f.txt', 'proposed' },
  merged = { 'f.txt', 'merged' },
}) do
  vim.cmd('ClaudeCluster diff ' .. how)
  eventually('a tab with ' .. how, function()
    return vim.fn.tabpagenr('$') == 2 and #vim.api.nvim_tabpage_list_wins(0) == #names
  end)
  local found = {}
  for _, window in ipairs(vim.api.nvim_tabpage_list_wins(0)) do
    local buffer = vim.api.nvim_win_get_buf(window)
    local name = vim.api.nvim_buf_get_name(buffer)
    local side = name:match('^claudecluster://g1/(%w+)/f.txt$')
    table.insert(found, side or vim.fs.basename(name))
    check(vim.wo[window].diff, 'it is a diff')
    local second = vim.api.nvim_buf_get_lines(buffer, 1, 2, false)[1]
    local new = side == 'proposed' or side == 'merged'
    equal(new and 'one2' or 'a2', second, how .. ' has the text of ' .. (side or 'the file'))
  end
  equal(names, found, how)
  vim.cmd.tabclose()
  vim.cmd.buffer('f.txt')
end
vim.cmd('ClaudeCluster diff sideways')
hears('unknown diff view', 'what there is is told')

-- Decisions: on a line, on a range, by the name of a hunk, a task and a file.
go(2)
vim.cmd('ClaudeCluster accept')
line_is(2, 'one2')
left(3)
vim.cmd('4,9ClaudeCluster accept')
line_is(8, 'one8')
left(1)
vim.cmd('2ClaudeCluster undo')
line_is(2, 'a2')
left(2)
vim.cmd('ClaudeCluster undo g1 f')
line_is(5, 'a5')
line_is(8, 'a8')
left(4)
vim.cmd('ClaudeCluster redo g1 f')
line_is(8, 'one8')
vim.cmd('ClaudeCluster undo g1')
left(4)
vim.cmd('ClaudeCluster accept ' .. ids[1])
left(3)
vim.cmd('ClaudeCluster undo ' .. ids[1])
left(4)
vim.cmd('ClaudeCluster reject g1 f.txt')
left(1)
eventually('it has been decided', function()
  return user.show('g1').hunks.rejected == 3
end)
equal('a1', vim.api.nvim_buf_get_lines(0, 0, 1, false)[1], 'a rejection leaves the text')
vim.cmd('ClaudeCluster accept g1')
left(0)
equal('one5', vim.fn.readfile(workspace .. '/g.txt')[5], 'a file that is not open lands on the disk')
vim.ui.input = function(_, done)
  done('not so')
end
propose('two')
-- g.txt has no line any more that the second plan changes.
left(3)
vim.cmd('%ClaudeCluster reject!')
left(0)

-- Conflicts.
propose('three')
left(3)
vim.api.nvim_buf_set_lines(0, 1, 2, false, { 'mine2' })
eventually('it conflicts', function()
  return vim.iter(user.pending()):any(function(hunk)
    return hunk.status == 'conflict'
  end)
end)
go(2)
vim.cmd('ClaudeCluster resolve')
hears('missing resolution', 'what it may become is told')
vim.cmd('ClaudeCluster resolve both')
line_is(3, 'three2')
left(2)
vim.cmd('ClaudeCluster reject g3')
left(0)

-- Goals: the buffer, one goal, a picker, its log.
vim.cmd('ClaudeCluster goals')
eventually('goals are listed, the newest first', function()
  local lines = vim.tbl_filter(function(line)
    return line:match('^%S+ g%d')
  end, vim.api.nvim_buf_get_lines(0, 0, -1, false))
  return #lines == 3 and lines[1]:find('make it three') and lines[3]:find('make it one')
end)
user.only()
vim.cmd('ClaudeCluster show g1')
eventually('a goal is shown', function()
  return user.text():find('# g1: applied', 1, true)
end)
check(user.text():find('- [succeeded] f: Change f', 1, true), 'with its tasks')
user.only()
vim.cmd('ClaudeCluster log g1 f')
eventually('its log', function()
  return vim.bo.filetype == 'claudecluster-log'
end)
user.only()
vim.cmd.buffer('f.txt')
local offered
vim.ui.select = function(items, opts, choose)
  offered = vim.tbl_map(opts.format_item or tostring, items)
  choose(items[1])
end
vim.cmd('ClaudeCluster pick goals')
eventually('goals are offered, the newest first', function()
  return offered and vim.startswith(offered[1], 'g3 ') and #offered == 3
end)
user.only()
vim.cmd.buffer('f.txt')

-- Cancel and retry: by the protocol's own means while work is under way.
vim.cmd.wall()
local client = vim.lsp.get_clients({ name = 'claudecluster' })[1]
local notified = {}
local notify = client.rpc.notify
client.rpc.notify = function(method, params)
  table.insert(notified, method)
  return notify(method, params)
end
local waiting = vim.system({
  'claudecluster',
  'run',
  '--plan',
  (function()
    local plan = vim.fs.dirname(workspace) .. '/slow.json'
    local task = { id = 's', run = 'while [ ! -e /proc/1/none ]; do sleep 0.1; done' }
    vim.fn.writefile({ vim.json.encode({ goal = 'slow', tasks = { task } }) }, plan)
    return plan
  end)(),
}, { text = true })
-- Alone: the end of an earlier goal's progress may come a little later than its changes.
eventually('its progress is shown alone', function()
  return vim.deep_equal(vim.tbl_keys(require('claudecluster.progress').active()), { 'g4' })
end)
eventually('the status line tells', function()
  return require('claudecluster').status():find('1 running 0/1', 1, true)
end)
vim.cmd('ClaudeCluster cancel')
eventually('it is cancelled', function()
  return user.show('g4').state == 'cancelled'
end)
check(vim.list_contains(notified, 'window/workDoneProgress/cancel'), 'as the protocol has it')
waiting:wait()
eventually('progress ends', function()
  return require('claudecluster.progress').active().g4 == nil
end)
vim.cmd('ClaudeCluster cancel')
hears('no goal is running', 'nothing else is')
vim.cmd('ClaudeCluster retry g4 s')
eventually('it runs again', function()
  return require('claudecluster.progress').active().g4 ~= nil
end)
vim.cmd('ClaudeCluster cancel g4')
eventually('and is cancelled again', function()
  return require('claudecluster.progress').active().g4 == nil
end)

-- A plan that waits.
local plan_only = user.goal(workspace, { { id = 'p', run = 'echo x > x.txt' } }, 'wait', '--plan-only')
check(plan_only.code == 3, vim.inspect(plan_only))
eventually('the plan is announced', function()
  return told('the plan of g5 is waiting')
end)
-- The message comes with the event, what the command chooses from with the answer about the goal.
eventually('the plan is known to wait', function()
  local known = require('claudecluster.goals').get('g5')
  return known and known.state == 'awaitingApproval'
end)
vim.cmd('ClaudeCluster approve')
left(1)
vim.cmd('ClaudeCluster reject g5')
left(0)

-- What the server refuses is told.
vim.cmd('ClaudeCluster plan g9')
vim.cmd('ClaudeCluster permissions p9 allow')
vim.cmd('ClaudeCluster permissions p9 perhaps')
hears('missing answer', 'an answer is one of two')
local before = #user.messages
eventually('errors are shown', function()
  return #user.messages >= before
end)

-- Shown and hidden.
vim.cmd('ClaudeCluster toggle')
hears('hiding pending changes', 'hidden')
vim.cmd('ClaudeCluster toggle')

-- A goal about lines, written in a window.
user.only()
vim.cmd.buffer('f.txt')
vim.cmd('2,3ClaudeCluster goal')
equal('claudecluster://goal', vim.api.nvim_buf_get_name(0), 'a window to write in')
check(vim.wo.winbar:find('f.txt:2-3', 1, true), 'it says what it is about: ' .. vim.wo.winbar)
vim.cmd('ClaudeCluster goal')
equal(2, #vim.api.nvim_list_wins(), 'one is enough')
vim.cmd.bwipeout({ bang = true })

vim.cmd('ClaudeCluster health')
local health = user.text()
for _, part in ipairs({ 'Neovim ', 'claudecluster 0', 'the daemon is running', 'attached in ' .. workspace, 'jobs = 2' }) do
  check(health:find(part, 1, true), 'health tells of ' .. part)
end
check(not health:find('ERROR') and not health:find('WARN'), 'nothing is wrong')

for _, name in ipairs(command.names()) do
  check(used[name], name .. ' has not been used')
end
for _, map in ipairs(vim.api.nvim_get_keymap('n')) do
  local name = map.lhs:match('^<Plug>%(claudecluster%-(.*)%)$')
  local runs = name and map.rhs and map.rhs:match('ClaudeCluster ([%w!]+)')
  check(not runs or command.subcommands[runs], map.lhs .. ' runs what is there')
end
user.stop()
