-- The user of tests/it/neovim/killed.rs: types on, twenty keys a second, while the daemon is killed again and
-- again. Argument: the workspace, in which `work.txt` has slots to type in and lines that goals change.
-- Prints figures as JSON; fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local typist = require('typist')
local check, eventually = typist.check, typist.eventually

local workspace = arg[1]
local ROUNDS = 6
local file = workspace .. '/work.txt'
local on_disk = vim.fn.readblob(file)
local editor = typist.editor(workspace)
editor:open(file)

-- What the buffer is to be.
local lines = vim.split(editor:text(), '\n')

---@param part string
---@return integer
local function line_with(part)
  return typist.line_with(lines, part)
end

local words = 0
---Where somebody types, if they do.
---@type string?
local slot

---Types a word. One insertion goes on for several, so that the server is not told of an end to it.
local function type_on()
  words = words + 1
  if not slot or words % 8 == 0 then
    slot = ('slot %d:'):format(words % 3 + 1)
    editor:type(('<Esc>/%s<CR>A'):format(slot))
  end
  local word = (' %d😀typed'):format(words)
  editor:type(word)
  local at = line_with(slot)
  lines[at] = lines[at] .. word
end

---Types a command. Typing goes on in insert mode only afterwards.
---@param keys string
local function command(keys)
  slot = nil
  editor:type('<Esc>' .. keys)
end

local function until_(what, condition)
  eventually(what, condition, type_on)
end

---The daemon of this moment; `nil` while there is none.
---@return integer?
local function daemon()
  local there, text = pcall(vim.fn.readfile, vim.env.CLAUDECLUSTER_HOME .. '/daemon.json')
  local read, found = pcall(vim.json.decode, there and table.concat(text, '\n') or '')
  return read and found.pid or nil
end

local killed = {}
local function kill_daemon()
  local pid = assert(daemon(), 'there is a daemon')
  assert(vim.uv.kill(pid, 'sigkill'))
  table.insert(killed, pid)
end

---Where hunks have to be, by the text.
---@param changes table<string, string>
local function shown_right(changes)
  local found = {}
  for _, hunk in ipairs(editor:shown()) do
    found[hunk.oldText:gsub('\n', '')] = hunk
  end
  for old in pairs(changes) do
    local hunk = found[old]
    if not hunk or lines[hunk.startLine + 1] ~= old then
      return false
    end
  end
  return vim.tbl_count(changes) == vim.tbl_count(found)
end

local pending = {}
for n = 1, ROUNDS do
  pending[('work%d = 0'):format(n)] = ('work%d = 1'):format(n)
end

---Presses accept on a line and types on until it has landed; what was lost with a daemon is pressed again.
---@param old string
---@param after_press? fun()
local function accept(old, after_press)
  local pressed
  until_(old .. ' lands', function()
    if not pressed or words - pressed > 8 then
      pressed = words
      command(('/%s<CR><F6>'):format(old))
      if after_press then
        after_press()
        after_press = nil
      end
    end
    return editor:text():find(pending[old], 1, true) ~= nil
  end)
  lines[line_with(old)] = pending[old]
  pending[old] = nil
end

---Kills the daemon, and types on until the next one has told of the hunks.
local function kill_and_wait()
  local told = editor:told_pending()
  kill_daemon()
  until_('a daemon is there again', function()
    local pid = daemon()
    return pid ~= nil and not vim.list_contains(killed, pid)
  end)
  until_('it has told of the hunks', function()
    return editor:told_pending() > told and shown_right(pending)
  end)
end

typist.main(function()
  local script = [[sed -i 's/^\(work[0-9]*\) = 0/\1 = 1/' work.txt]]
  check(typist.goal(workspace, script).code == 0, 'run')
  until_('the hunks are shown', function()
    return shown_right(pending)
  end)
  for round = 1, ROUNDS do
    local old = ('work%d = 0'):format(round)
    if round % 2 == 1 then
      -- In the middle of an insertion. It goes on with the text as it is then: what is accepted lands.
      type_on()
      kill_and_wait()
      accept(old)
    else
      -- With an accept on its way.
      accept(old, kill_daemon)
      until_('the rest is shown', function()
        return shown_right(pending)
      end)
    end
  end
  check(#killed == ROUNDS, 'killed ' .. #killed)

  editor:type('<Esc>')
  local expected = table.concat(lines, '\n')
  eventually('the text is what was typed and what was accepted:\n' .. expected, function()
    return editor:run('return vim.fn.mode()') == 'n' and editor:text() == expected
  end)
  eventually('no pending changes', function()
    return #editor:pending() == 0
  end)
  check(vim.fn.readblob(file) == on_disk, 'nothing was saved')
  -- The daemon has that text too: a goal sees it.
  local done = typist.goal(workspace, 'cp work.txt copy.txt')
  check(done.code == 0, vim.inspect(done))
  local found = editor:pending()
  check(#found == 1 and found[1].newText == expected .. '\n', vim.inspect(found))
  io.stdout:write(vim.json.encode({ keys = typist.keys, killed = #killed }))
end)
