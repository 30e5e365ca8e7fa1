-- The user of tests/it/neovim/typing.rs: somebody who types for a minute, twenty keys a second, in the functions
-- that four sessions and a dozen smaller goals are changing, and takes what they propose meanwhile.
-- Arguments: the workspace, and the seconds. Prints figures as JSON; fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local typist = require('typist')
local check = typist.check

local workspace, seconds = arg[1], tonumber(arg[2])
local FUNCTIONS = 4

local file = workspace .. '/work.txt'
local on_disk = vim.fn.readblob(file)
local editor = typist.editor(workspace)
editor:open(file)

-- What the buffer is to be: each of the user's lines has what was typed there, each landed hunk is in its
-- place. No line is there twice, so that lines are named by their text.
local lines = vim.split(editor:text(), '\n')

local function line_with(part)
  return typist.line_with(lines, part)
end

-- The lines that landings have replaced or brought: nobody types these.
local landed_lines = {}
local landings, again, slowest = 0, 0, 0

---Notes that these lines have become others, as one landing.
local function landed(changes)
  landings = landings + 1
  for old, new in pairs(changes) do
    landed_lines[old] = true
    local at = line_with(old)
    table.remove(lines, at)
    for offset, line in ipairs(new) do
      landed_lines[line] = true
      table.insert(lines, at + offset - 1, line)
    end
  end
end

local function has(line)
  return vim.list_contains(vim.split(editor:text(), '\n'), line)
end

-- The typing. Slots are lines that nobody else changes.
local words = 0
local slots = {}
for k = 1, FUNCTIONS do
  vim.list_extend(slots, { k .. 'a', k .. 'c' })
end

---Goes to a slot and types there for about two seconds.
local function burst()
  words = words + 1
  local slot = slots[words % #slots + 1]
  editor:type(('<Esc>/slot %s:<CR>'):format(slot))
  local marker = ('slot %s:'):format(slot)
  if words % 3 == 0 then
    -- A line of its own below.
    local line = ('# line %d 😀 of %s'):format(words, slot)
    editor:type('o' .. line)
    -- Indented by the editor.
    table.insert(lines, line_with(marker) + 1, '    ' .. line)
  else
    editor:type('A')
    for n = 1, 5 do
      local word = (' %d.%d'):format(words, n)
      editor:type(word)
      local at = line_with(marker)
      lines[at] = lines[at] .. word
    end
  end
end

local started = vim.uv.now()
local function passed()
  vim.uv.update_time()
  return (vim.uv.now() - started) / 1000
end

---Types on until the condition holds.
local function until_(what, condition)
  typist.eventually(what, condition, burst)
end

---Types on until these lines have become others; presses again what has come to nothing.
local function lands(what, changes, press)
  local begun = passed()
  local _, any = next(changes)
  local pressed
  until_(what .. ' lands', function()
    if press and (not pressed or passed() - pressed > 4) then
      again = again + (pressed and 1 or 0)
      pressed = passed()
      press()
    end
    return has(any[1])
  end)
  slowest = math.max(slowest, passed() - begun)
  landed(changes)
end

---Submits a goal that changes one line, types on until it is proposed, and gives its name.
local function small_goal(n, ...)
  local plan = vim.fs.dirname(workspace) .. ('/tick%d.json'):format(n)
  local script = ("sed -i 's/tick%d = 0/tick%d = 1/' work.txt"):format(n, n)
  vim.fn.writefile({
    vim.json.encode({ goal = 'tick', tasks = { { id = 't', run = script } } }),
  }, plan)
  local job = typist.cli({ 'run', '--json', '--plan', plan, ... })
  until_('goal of tick ' .. n, function()
    return job.done ~= nil
  end)
  check(job.done.code == 0, 'run: ' .. vim.inspect(job.done))
  return job.done.stdout:match('"goalId":"(g%d+)"')
end

local function tick(n)
  return { [('    tick%d = 0'):format(n)] = { ('    tick%d = 1'):format(n) } }
end

local function untick(n)
  return { [('    tick%d = 1'):format(n)] = { ('    tick%d = 0'):format(n) } }
end

---How a small goal is decided: by the command line, by the editor's command, at the cursor.
---@type (fun(n: integer): integer?)[]
local ways = {
  function(n)
    small_goal(n, '--apply')
    check(has(('    tick%d = 1'):format(n)), 'tick ' .. n .. ' was landed by --apply')
    landed(tick(n))
  end,
  function(n)
    local job = typist.cli({ 'accept', small_goal(n) })
    lands('tick ' .. n, tick(n))
    until_('the end of accept', function()
      return job.done ~= nil
    end)
    check(job.done.code == 0, 'accept: ' .. vim.inspect(job.done))
  end,
  function(n)
    local goal = small_goal(n)
    lands('tick ' .. n, tick(n), function()
      editor:type(('<Esc>:ClaudeCluster accept %s<CR>'):format(goal))
    end)
  end,
  function(n)
    small_goal(n)
    lands('tick ' .. n, tick(n), function()
      editor:type(('<Esc>/tick%d =<CR><F5>'):format(n))
    end)
  end,
  function(n)
    small_goal(n)
    lands('tick ' .. n, tick(n), function()
      editor:type(('<Esc>/tick%d =<CR>i<F6>'):format(n))
    end)
  end,
  function(n)
    small_goal(n)
    until_('the reject', function()
      editor:type(('<Esc>/tick%d =<CR><F7>'):format(n))
      return #editor:pending() == 0
    end)
    check(has(('    tick%d = 0'):format(n)), 'a reject changes nothing')
    return 0
  end,
  function(n)
    local goal = small_goal(n, '--apply')
    landed(tick(n))
    lands('undo of tick ' .. n, untick(n), function()
      editor:type(('<Esc>:ClaudeCluster undo %s<CR>'):format(goal))
    end)
    until_('it is pending again', function()
      return #editor:pending() == 1
    end)
    lands('tick ' .. n .. ' after its undo', tick(n), function()
      editor:type(('<Esc>:ClaudeCluster accept %s<CR>'):format(goal))
    end)
  end,
}

local function start(k)
  return {
    [('    start%d = x + 1'):format(k)] = {
      ('    start%d = x + %d0'):format(k, k),
      ('    first%d = start%d'):format(k, k),
    },
  }
end

local function middle(k)
  return { [('    middle%d = start%d * 2'):format(k, k)] = { ('    middle%d = 7'):format(k) } }
end

---A goal of four sessions, with two conflicts.
local function large_goal()
  editor:type('<Esc>:ClaudeCluster goal make it better<CR>')
  until_('the plan is announced', function()
    return editor:told('planned g1: 4 tasks')
  end)
  -- Two lines that sessions change as well, typed after they have been seen.
  for k = 1, 2 do
    editor:type(('<Esc>/limit%d = <CR>Slimit%d = 3%d0'):format(k, k, k))
    lines[line_with(('limit%d = '):format(k))] = ('    limit%d = 3%d0'):format(k, k)
  end
  until_('the proposal is announced', function()
    return editor:told('g1 proposes changes to 1 file')
  end)
  local conflicts = vim.tbl_filter(function(hunk)
    return hunk.status == 'conflict'
  end, editor:pending())
  check(#conflicts == 2, 'conflicts: ' .. vim.inspect(conflicts))
  for _, hunk in ipairs(conflicts) do
    check(hunk.oldText:find('limit%d = 3%d0'), 'what was typed is shown: ' .. vim.inspect(hunk))
    check(hunk.newText:find('limit%d = 2%d0'), 'what is proposed is shown: ' .. vim.inspect(hunk))
  end

  lands('a code action', start(1), function()
    editor:type('<Esc>/start1 = x<CR><F5>')
  end)
  lands('a command at the cursor', middle(2), function()
    editor:type('<Esc>/middle2 =<CR>i<F6>')
  end)
  local rest = {}
  for k = 1, FUNCTIONS do
    rest = vim.tbl_extend('error', rest, k ~= 1 and start(k) or {}, k ~= 2 and middle(k) or {})
    if k > 2 then
      rest[('    limit%d = 100'):format(k)] = { ('    limit%d = 2%d0'):format(k, k) }
    end
  end
  lands('everything clean', rest, function()
    editor:type('<Esc>:ClaudeCluster accept g1<CR>')
  end)
  until_('only conflicts are left', function()
    return #editor:pending() == 2
  end)
  -- The user's own lines stay.
  for k = 1, 2 do
    until_('a conflict is decided', function()
      editor:type(('<Esc>/limit%d =<CR><F7>'):format(k))
      return #editor:pending() == 2 - k
    end)
  end
end

---Back to the beginning and forth again: a step is a landing or something typed, never both.
local function undo_and_redo(expected)
  editor:detach()
  local steps = editor:run([[
    local function text()
      return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
    end
    local steps = { text() }
    while vim.fn.undotree().seq_cur > 0 do
      vim.cmd('silent undo')
      table.insert(steps, text())
    end
    return steps
  ]])
  local landing_steps = 0
  for n = 2, #steps do
    local landed_here, typed_here = false, false
    local function compare(one, other)
      local there = {}
      for _, line in ipairs(vim.split(other, '\n')) do
        there[line] = true
      end
      for _, line in ipairs(vim.split(one, '\n')) do
        if not there[line] then
          landed_here = landed_here or landed_lines[line] ~= nil
          typed_here = typed_here or not landed_lines[line]
        end
      end
    end
    compare(steps[n], steps[n - 1])
    compare(steps[n - 1], steps[n])
    landing_steps = landing_steps + (landed_here and 1 or 0)
    check(
      not (landed_here and typed_here),
      ('one undo takes back a landing and typing:\n%s\nbecomes\n%s'):format(steps[n - 1], steps[n])
    )
  end
  check(landing_steps == landings, ('%d landings, %d steps'):format(landings, landing_steps))
  local first = table.concat(vim.fn.readfile(file, 'b'), '\n')
  check(steps[#steps] .. '\n' == first, 'the first text is back')
  editor:run([[
    repeat
      local before = vim.fn.undotree().seq_cur
      vim.cmd('silent redo')
    until vim.fn.undotree().seq_cur == before
  ]])
  check(editor:text() == expected, 'redo brings everything again')
end

local function run()
  burst()
  large_goal()
  -- Then one small goal after the other, for as long as it takes.
  local count = select(2, table.concat(lines, '\n'):gsub('tick%d+ =', ''))
  local done, decided = 0, {}
  while done < count and passed() < seconds do
    done = done + 1
    decided[done] = ways[(done - 1) % #ways + 1](done) or 1
  end
  while passed() < seconds do
    burst()
  end
  editor:type('<Esc>')
  local took = passed()

  -- Nothing is lost, nothing is there twice.
  local expected = table.concat(lines, '\n')
  typist.eventually('the last key has arrived', function()
    return editor:run('return vim.fn.mode()') == 'n' and editor:text() == expected
  end)
  check(#editor:pending() == 0, 'no pending changes')
  check(editor:run('return vim.bo.modified'), 'nothing was saved')
  check(vim.fn.readblob(file) == on_disk, 'the file on disk is as it was')
  undo_and_redo(expected)
  editor:run('vim.cmd.write()')
  io.stdout:write(vim.json.encode({
    seconds = took,
    keys = typist.keys,
    landings = landings,
    pressedAgain = again,
    slowest = slowest,
    landed = decided,
    text = expected,
  }))
end

typist.main(run)
