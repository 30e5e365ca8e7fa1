-- The user of tests/it/neovim/typing.rs: a landing in the middle of what Neovim calls one command, or beside
-- it. Arguments: the workspace, and the name of a case. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local typist = require('typist')
local check, eventually = typist.check, typist.eventually

local workspace, case = arg[1], arg[2]
local file = workspace .. '/f.txt'

---Lines with a name: `lines('a', 3)` is a1, a2, a3.
local function lines(name, count)
  local found = {}
  for n = 1, count do
    table.insert(found, name .. n)
  end
  return found
end

---@param parts (string|string[])[]
local function text(parts)
  return table.concat(vim.iter(parts):flatten(2):totable(), '\n')
end

---@param script string what the goal's one task runs
local function propose(script)
  local done = typist.goal(workspace, script)
  check(done.code == 0, vim.inspect(done))
end

---Accepts goal g1 on the command line.
local function accept()
  return typist.cli({ 'accept', 'g1' })
end

---Waits until everything clean has landed.
local function landed(job)
  eventually('the landing', function()
    return job.done ~= nil
  end)
  check(job.done.code == 0, vim.inspect(job.done))
end

local function becomes(editor, expected)
  eventually('the text\n' .. expected, function()
    return editor:run('return vim.fn.mode()') == 'n' and editor:text() == expected
  end)
end

local cases = {}

---The menu of completions is open while lines land above it.
function cases.completion(editor)
  propose([[sed -i '1i new1\nnew2' f.txt]])
  editor:type('Goalphabet<CR>alphanumeric<CR>al<C-n>')
  eventually('the menu', function()
    return editor:run('return vim.fn.pumvisible()') == 1
  end)
  local job = accept()
  editor:type('<C-n><C-p><C-n><C-p><C-n><C-y> and more')
  landed(job)
  editor:type('<Esc>')
  local words = { 'alphabet', 'alphanumeric', 'alphanumeric and more' }
  local after = text({ 'new1', 'new2', lines('a', 9), words })
  becomes(editor, after)
  return { landed = { 'new1', 'new2' }, text = after }
end

---What is typed is the very line that new lines go before.
function cases.at_the_line(editor)
  editor:type('/a5<CR>A one')
  eventually('the first word', function()
    return editor:text():find('a5 one', 1, true) ~= nil
  end)
  editor:told_all()
  propose([[sed -i '/^a5/i new1\nnew2' f.txt]])
  local above = { lines('a', 4), 'new1', 'new2' }
  local below = { 'a6', 'a7', 'a8', 'a9' }
  -- By its name: what is accepted all at once keeps away from the line.
  landed(typist.cli({ 'accept', 'g1', '--file', 'f.txt' }))
  check(editor:text() == text({ above, 'a5 one', below }), 'the landing alone')
  check(editor:run('return vim.fn.mode()') == 'i', 'the mode is the user\'s')
  editor:type(' two<CR>three<Esc>')
  local after = text({ above, 'a5 one two', 'three', below })
  becomes(editor, after)
  return { landed = { 'new1', 'new2' }, text = after }
end

---The same without a rest: whatever comes of the accept, what was typed stays.
function cases.at_the_line_without_a_rest(editor)
  propose([[sed -i '/^a5/i new1\nnew2' f.txt]])
  editor:type('/a5<CR>A')
  local job = accept()
  local typed = 'a5'
  for n = 1, 1000 do
    local word = (' %d'):format(n)
    editor:type(word)
    typed = typed .. word
    if job.done and n > 10 then
      break
    end
  end
  editor:type('<Esc>')
  local landed = { 'new1', 'new2' }
  local below = { 'a6', 'a7', 'a8', 'a9' }
  local after = text({ lines('a', 4), job.done.code == 0 and landed or {}, typed, below })
  check(job.done.code == 0 or job.done.code == 3, vim.inspect(job.done))
  becomes(editor, after)
  if job.done.code ~= 0 then
    -- Too late for the landing: a conflict, which says so.
    check(editor:pending()[1].status == 'conflict', 'it is shown as a conflict')
  end
  return { text = after }
end

---A block insert types into its first line and repeats that in the others at its end.
function cases.block_insert(editor)
  propose([[sed -i '1i new1\nnew2' f.txt]])
  editor:type('/a4<CR><C-v>jjI// ')
  local job = accept()
  editor:type('x and y and z <Esc>')
  landed(job)
  local after = { 'new1', 'new2' }
  for n = 1, 9 do
    table.insert(after, (n >= 4 and n <= 6 and '// x and y and z a' or 'a') .. n)
  end
  becomes(editor, text(after))
  return { landed = { 'new1', 'new2' }, text = text(after) }
end

---A selection is of lines, not of their numbers.
function cases.selection(editor)
  propose([[sed -i '1i new1\nnew2' f.txt]])
  editor:type('/a4<CR>Vj')
  local job = accept()
  editor:type('jjjjkkkkd')
  landed(job)
  local after = text({ 'new1', 'new2', 'a1', 'a2', 'a3', 'a6', 'a7', 'a8', 'a9' })
  becomes(editor, after)
  return { landed = { 'new1', 'new2' }, text = after }
end

---A macro that is played many times.
function cases.macro(editor)
  propose([[sed -i '1i new1\nnew2' f.txt]])
  editor:type('Goq<Esc>qbA.b<Esc>q')
  local job = accept()
  for _ = 1, 10 do
    editor:type('9@b')
  end
  landed(job)
  local after = text({ 'new1', 'new2', lines('a', 9), 'q' .. ('.b'):rep(91) })
  becomes(editor, after)
  return { landed = { 'new1', 'new2' }, text = after }
end

---Back to the beginning: one step takes back the landing, and nothing else.
local function undo(editor, done)
  editor:detach()
  local landed = {}
  for _, line in ipairs(done.landed) do
    landed[line] = true
  end
  local steps = 0
  repeat
    local before = editor:text()
    editor:run([[vim.cmd('silent undo')]])
    local after = editor:text()
    local there = {}
    for _, line in ipairs(vim.split(after, '\n')) do
      there[line] = true
    end
    local ours = vim.iter(done.landed):any(function(line)
      return ('\n' .. before .. '\n'):find('\n' .. line .. '\n', 1, true) and not there[line]
    end)
    if ours then
      steps = steps + 1
      local rest = vim.tbl_filter(function(line)
        return not landed[line]
      end, vim.split(before, '\n'))
      check(text(rest) == after, ('an undo takes back the landing and more:\n%s\nbecomes\n%s'):format(before, after))
    end
  until editor:run('return vim.fn.undotree().seq_cur') == 0
  check(editor:text() == text(lines('a', 9)), 'the first text is back')
  check(steps == 1, steps .. ' steps take back the landing')
  editor:run([[vim.cmd('silent undo ' .. vim.fn.undotree().seq_last)]])
  check(editor:text() == done.text, 'redo brings everything again')
end

typist.main(function()
  local editor = typist.editor(workspace)
  editor:open(file)
  local done = cases[case](editor)
  check(editor:run('return vim.bo.modified'), 'nothing was saved')
  check(table.concat(vim.fn.readfile(file), '\n') == text(lines('a', 9)), 'the file is as it was')
  if done.landed then
    undo(editor, done)
  end
end)
