-- The user of tests/it/neovim/commands.rs: reviews in the buffer of goals, with its keys. Argument: the workspace,
-- with `f.txt` and `g.txt` of nine lines each. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('inside')
local check, eventually, equal = user.check, user.eventually, user.equal

local workspace = arg[1]
local ns = vim.api.nvim_create_namespace('claudecluster.board')

require('claudecluster').setup()
user.open(workspace .. '/f.txt')
vim.cmd('ClaudeCluster goals')
local board = vim.api.nvim_get_current_win()
equal('claudecluster://goals', vim.api.nvim_buf_get_name(0), 'the buffer of goals')

---@return string[] # its lines, from the first goal on
local function lines()
  local found = vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(board), 2, -1, false)
  return vim.tbl_map(function(line)
    return (line:gsub(' +$', ''))
  end, found)
end

---@param expected string[]
local function becomes(expected)
  local message = 'the goals are\n' .. table.concat(expected, '\n')
  eventually(message, function()
    return vim.deep_equal(lines(), expected)
  end)
end

---The cursor on the first line with this part, once there is one.
---@param part string
---@return integer
local function on(part)
  vim.api.nvim_set_current_win(board)
  local found
  eventually('a line with ' .. part, function()
    for index, line in ipairs(lines()) do
      if line:find(part, 1, true) then
        found = index + 2
        return true
      end
    end
    return false
  end)
  vim.api.nvim_win_set_cursor(board, { found, 0 })
  return found
end

---What stands behind the first line with this part.
---@param part string
---@return string
local function note(part)
  local line = on(part) - 1
  local marks = vim.api.nvim_buf_get_extmarks(0, ns, { line, 0 }, { line, -1 }, { details = true })
  for _, mark in ipairs(marks) do
    if mark[4].virt_text then
      return mark[4].virt_text[1][1]
    end
  end
  return ''
end

---@param part string
---@param keys string
local function press(part, keys)
  on(part)
  user.press(keys)
end

becomes({ 'No goals yet. Start one with :ClaudeCluster goal.' })

-- While it runs: states, and what it has cost.
local port
local server = assert(vim.uv.new_tcp())
server:bind('127.0.0.1', 0)
local guest
server:listen(1, function()
  guest = assert(vim.uv.new_tcp())
  server:accept(guest)
end)
port = server:getsockname().port
local plan = vim.fs.dirname(workspace) .. '/plan.json'
local wait = ("bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d && read -r _ <&3' || true"):format(port)
vim.fn.writefile({
  vim.json.encode({
    goal = 'make it\nbetter',
    tasks = {
      { id = 'f', title = 'Change f', run = "sed -i 's/^a\\([28]\\)$/one\\1/' f.txt" },
      { id = 'g', title = 'Change g', run = wait .. "; sed -i 's/^b5$/one5/' g.txt; true" },
      { id = 'h', title = 'After both', run = 'exit 3', dependsOn = { 'f', 'g' } },
    },
  }),
}, plan)
local ended
vim.system({ 'claudecluster', 'run', '--plan', plan }, { text = true }, function(result)
  ended = result
end)
becomes({
  '● g1   running    make it better',
  '  ✓ succeeded  f  Change f',
  '  ● running    g  Change g',
  '  ○ waiting    h  After both',
})
check(note('g1'):find('1/3 tasks', 1, true), note('g1'))
-- Its clock ticks without anything being told.
eventually('time passes', function()
  return note('Change g'):find('2s', 1, true)
end)
-- A fold that is closed stays closed, whatever comes.
press('Change f', 'zc')
local closed = vim.fn.line('.')
eventually('a task has come to wait', function()
  return guest ~= nil
end)
guest:write('go\n')
eventually('the goal has ended', function()
  return ended ~= nil
end)
becomes({
  '✗ g1   failed     make it better',
  '    task h failed: `exit 3` failed: exit status: 3',
  '  ✓ succeeded  f  Change f',
  '      f.txt',
  '        ~ 2       one2',
  '        ~ 8       one8',
  '  ✓ succeeded  g  Change g',
  '      g.txt',
  '        ~ 5       one5',
  '  ✗ failed     h  After both',
})
on('Change f')
check(vim.fn.foldclosed('.') == vim.fn.line('.'), 'the fold is still closed, it was on line ' .. closed)
user.press('zR')
equal({ 0, 0, 1, 1, 2, 3, 3, 3, 2, 3, 3, 2 }, vim.tbl_map(vim.fn.foldlevel, vim.fn.range(1, 12)), 'folds')
check(note('h  After both'):find('exit status', 1, true), 'why it failed: ' .. note('h  After both'))

-- Keys on what they are about.
press('one2', 'K')
eventually('a change floats', function()
  return (user.float() or ''):find('-a2\n+one2', 1, true)
end)
press('one8', '<CR>')
equal({ 'f.txt', 8 }, { vim.fs.basename(vim.api.nvim_buf_get_name(0)), vim.fn.line('.') }, 'it opens')
press('one2', 'a')
eventually('one change has landed', function()
  return vim.list_contains(vim.fn.getbufline('f.txt', 1, '$'), 'one2')
end)
press('Change f', 'u')
eventually('it is taken back, with all of its task', function()
  return not vim.list_contains(vim.fn.getbufline('f.txt', 1, '$'), 'one2')
end)
on('one2')
vim.ui.input = function(_, done)
  done('not so')
end
-- Both changes by a selection, in which their file is already meant by its own line.
press('f.txt', 'VjjR')
becomes({
  '✗ g1   failed     make it better',
  '    task h failed: `exit 3` failed: exit status: 3',
  '  ✓ succeeded  f  Change f',
  '      f.txt',
  '  ✓ succeeded  g  Change g',
  '      g.txt',
  '        ~ 5       one5',
  '  ✗ failed     h  After both',
})
equal('  decided', note('      f.txt'), 'nothing is left of it')
local shown = user.show('g1')
equal({ 2, 1 }, { shown.hunks.rejected, shown.hunks.pending }, 'what was decided')

-- Another goal is above it; what is over is folded when the goals are opened again.
press('g.txt', 'a')
eventually('g1 has nothing left', function()
  return user.show('g1').hunks.pending == 0
end)
local done = user.goal(workspace, { { id = 'x', title = 'New', run = 'echo x > x.txt' } }, 'make x')
check(done.code == 0, vim.inspect(done))
eventually('the newest is first', function()
  return vim.startswith(lines()[1], '◆ g2   proposed   make x') and lines()[4] == '        + create  x'
end)
press('make x', ']]')
equal('✗ g1', vim.fn.getline('.'):match('^%S+ g%d'), 'the next goal')
user.press('[[')
equal('◆ g2', vim.fn.getline('.'):match('^%S+ g%d'), 'the one before')
vim.ui.select = function(items, _, choose)
  choose(items[2])
end
press('make x', 'a')
eventually('it is there', function()
  return vim.uv.fs_stat(workspace .. '/x.txt') ~= nil
end)
on('✓ g2   applied    make x')
user.press('q')
check(not vim.api.nvim_win_is_valid(board), 'q closes it')
vim.cmd('tab ClaudeCluster goals')
equal(2, vim.fn.tabpagenr('$'), 'modifiers are heard')
board = vim.api.nvim_get_current_win()
eventually('what has landed is folded', function()
  on('make x')
  return vim.fn.foldclosed('.') == vim.fn.line('.')
end)
-- Every key says what it does.
user.press('g?')
local help = user.text()
for _, map in ipairs(vim.api.nvim_buf_get_keymap(vim.api.nvim_win_get_buf(board), 'n')) do
  check(help:find(' ' .. map.lhs:gsub('<C%-R>', '<C-r>') .. ' ', 1, true), map.lhs .. ' is explained')
end
vim.cmd.close()
user.stop()
