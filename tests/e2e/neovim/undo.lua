-- The user of tests/it/neovim/undo.rs: undoes and redoes landings with the editor's own keys. Argument: the
-- workspace, in which `f.txt` has nine lines. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local typist = require('typist')
local check, eventually = typist.check, typist.eventually

local workspace = arg[1]
local goals = 0

---The nine lines, some of them changed.
---@param changed? table<integer, string>
local function text(changed)
  local lines = {}
  for n = 1, 9 do
    table.insert(lines, changed and changed[n] or 'a' .. n)
  end
  return table.concat(lines, '\n')
end

---A goal that changes one line; returns its id and that of its hunk.
---@param editor e2e.Editor
---@param line integer
---@param becomes string
local function propose(editor, line, becomes)
  local done = typist.goal(workspace, ('sed -i "%ds/.*/%s/" f.txt'):format(line, becomes))
  check(done.code == 0, vim.inspect(done))
  goals = goals + 1
  local found = editor:pending()
  check(#found == 1, 'one hunk is pending: ' .. vim.inspect(found))
  return 'g' .. goals, found[1].id
end

---@param editor e2e.Editor
---@param expected string
---@param what string
local function becomes(editor, expected, what)
  eventually(what .. ': the text\n' .. expected, function()
    return editor:text() == expected
  end)
end

---Whether the ledger has the goal's one hunk like this, the editor shows it or not, and it is still the
---same hunk.
---@param editor e2e.Editor
---@param goal string
---@param hunk string
---@param counts table<string, integer> what `show` counts
local function ledger(editor, goal, hunk, counts, what)
  local seen
  eventually(what .. ': the ledger has ' .. vim.inspect(counts), function()
    local done = typist.run({ 'show', goal, '--json' })
    check(done.code == 0, vim.inspect(done))
    seen = vim.json.decode(done.stdout).hunks
    return vim.iter(counts):all(function(fate, count)
      return seen[fate] == count
    end)
  end)
  local ids = vim.tbl_map(function(found)
    return found.id
  end, editor:pending())
  local expected = counts.pending == 1 and { hunk } or {}
  check(vim.deep_equal(ids, expected), what .. ': pending are ' .. vim.inspect(ids))
  eventually(what .. ': it is shown while it is pending', function()
    return (#editor:marks() > 0) == (counts.pending == 1)
  end)
end

---Lands a hunk by these keys, then goes back and forth with `u` and `CTRL-R`.
---@param editor e2e.Editor
---@param line integer
---@param word string
---@param keys string
local function back_and_forth(editor, line, word, keys)
  local before = editor:text()
  local goal, hunk = propose(editor, line, word)
  editor:type(('<Esc>%dG%s'):format(line, keys))
  local lines = vim.split(before, '\n')
  lines[line] = word
  local after = table.concat(lines, '\n')
  becomes(editor, after, 'the accept')
  local landed, pending = { landed = 1, pending = 0 }, { landed = 0, pending = 1 }
  ledger(editor, goal, hunk, landed, 'after the accept')
  for round = 1, 2 do
    editor:type('u')
    becomes(editor, before, 'u')
    ledger(editor, goal, hunk, pending, 'after u ' .. round)
    editor:type('<C-r>')
    becomes(editor, after, 'CTRL-R')
    ledger(editor, goal, hunk, landed, 'after CTRL-R ' .. round)
  end
  -- What is pending again can be decided like anything that is.
  editor:type('u')
  ledger(editor, goal, hunk, pending, 'after the last u')
  editor:type('<F6>')
  becomes(editor, after, 'the accept of what was undone')
  ledger(editor, goal, hunk, landed, 'after the second accept')
end

---Typing directly before and after an accept, without leaving insert mode: three steps.
---@param editor e2e.Editor
local function typing_around(editor)
  local before = editor:text()
  local goal, hunk = propose(editor, 8, 'eight')
  editor:type('<Esc>1GA one')
  editor:told_all()
  check(typist.run({ 'accept', goal }).code == 0, 'the accept')
  editor:type(' two<Esc>')
  local lines = vim.split(before, '\n')
  lines[1] = lines[1] .. ' one two'
  lines[8] = 'eight'
  becomes(editor, table.concat(lines, '\n'), 'typing around the accept')
  ledger(editor, goal, hunk, { landed = 1, pending = 0 }, 'with typing around')

  local first = lines[1]
  editor:type('u')
  lines[1] = first:gsub(' two$', '')
  becomes(editor, table.concat(lines, '\n'), 'the first u takes back what was typed after')
  ledger(editor, goal, hunk, { landed = 1, pending = 0 }, 'after the first u')
  editor:type('u')
  lines[8] = 'a8'
  becomes(editor, table.concat(lines, '\n'), 'the second takes back the landing')
  ledger(editor, goal, hunk, { landed = 0, pending = 1 }, 'after the second u')
  editor:type('u')
  becomes(editor, before, 'the third takes back what was typed before')
  ledger(editor, goal, hunk, { landed = 0, pending = 1 }, 'after the third u')
  editor:type('<C-r>')
  lines[1] = first:gsub(' two$', '')
  becomes(editor, table.concat(lines, '\n'), 'the first CTRL-R brings what was typed before')
  editor:type('<C-r>')
  lines[8] = 'eight'
  becomes(editor, table.concat(lines, '\n'), 'the second the landing')
  ledger(editor, goal, hunk, { landed = 1, pending = 0 }, 'after the second CTRL-R')
  editor:type('<C-r>')
  lines[1] = first
  local all = table.concat(lines, '\n')
  becomes(editor, all, 'the third what was typed after')
  ledger(editor, goal, hunk, { landed = 1, pending = 0 }, 'after the third CTRL-R')

  -- All three before the text settles: what is there then was never before a landing, or after it.
  for round = 1, 2 do
    editor:run("vim.api.nvim_input('uuu')")
    becomes(editor, before, 'uuu')
    ledger(editor, goal, hunk, { landed = 0, pending = 1 }, 'after uuu ' .. round)
    editor:run("vim.api.nvim_input('3<C-r>')")
    becomes(editor, all, '3 CTRL-R')
    ledger(editor, goal, hunk, { landed = 1, pending = 0 }, 'after 3 CTRL-R ' .. round)
  end
end

typist.main(function()
  local editor = typist.editor(workspace)
  editor:open(workspace .. '/f.txt')
  -- By the server, and by the editor itself.
  back_and_forth(editor, 5, 'five', '<F6>')
  back_and_forth(editor, 2, 'two', '<F5>')
  typing_around(editor)
  local file = table.concat(vim.fn.readfile(workspace .. '/f.txt'), '\n')
  check(file == text(), 'nothing was saved')
end)
