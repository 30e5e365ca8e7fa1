-- The user of tests/it/neovim/reload.rs: loads a file anew while something lands in it. Argument: the workspace, in
-- which `f.txt` has nine lines. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local typist = require('typist')
local check, eventually = typist.check, typist.eventually

local workspace = arg[1]
local path = workspace .. '/f.txt'

local function on_disk()
  return table.concat(vim.fn.readfile(path), '\n')
end

---Accepts goals while the editor is busy. An accept that does not wait for the editor is over when this
---returns.
local ACCEPT = [[
  function _G.accept(goal)
    vim.system({ 'claudecluster', 'accept', goal }, { text = true }, function(done)
      _G.accepted[goal] = done.code == 0 and 'done' or done.stdout .. done.stderr
    end)
    vim.wait(1500, function()
      return _G.accepted[goal] ~= nil
    end, 10, true)
  end
  _G.accepted = {}
]]

---What the user does, and when: before it is told to load the file anew, so that its edit arrives too late, or
---when the buffer is closed for the server already.
local ways = {
  ['an edit on its way'] = [[
    local goal, leave = ...
    _G.accept(goal)
    vim.cmd(leave)
  ]],
  ['a buffer between two documents'] = [[
    local goal, leave = ...
    -- What follows when the buffer has been unloaded: it is read again, or another one is entered.
    local next_event = leave == 'edit!' and 'BufReadPre' or 'BufEnter'
    vim.api.nvim_create_autocmd(next_event, {
      once = true,
      callback = function()
        _G.accept(goal)
      end,
    })
    vim.cmd(leave)
  ]],
}

---@param editor e2e.Editor
---@param goal string
local function landed(editor, goal, what)
  eventually(what .. ': the accept is over', function()
    return editor:run('return _G.accepted[...] ~= nil', goal)
  end)
  local said = editor:run('return _G.accepted[...]', goal)
  check(said == 'done', ('%s: the accept: %s'):format(what, said))
  local done = typist.run({ 'show', goal, '--json' })
  check(done.code == 0, vim.inspect(done))
  local hunks = vim.json.decode(done.stdout).hunks
  check(hunks.landed == 1 and hunks.pending == 0, what .. ': ' .. vim.inspect(hunks))
end

---What the ledger has of a goal's one hunk.
---@param goal string
---@param counts table<string, integer> what `show` counts
local function ledger(goal, counts, what)
  eventually(what .. ': the ledger has ' .. vim.inspect(counts), function()
    local done = typist.run({ 'show', goal, '--json' })
    check(done.code == 0, vim.inspect(done))
    local hunks = vim.json.decode(done.stdout).hunks
    return hunks.landed == counts.landed and hunks.pending == counts.pending
  end)
end

---What was typed and what landed go at once where neither was saved, whether another program has written to the
---file or not.
---@param editor e2e.Editor
local function dropped(editor)
  for _, other in ipairs({ '', 'by another program' }) do
    local file = workspace .. '/dropped' .. #other .. '.txt'
    local lines = { 'b1', 'b2', 'b3', 'b4', 'b5', 'b6' }
    vim.fn.writefile(lines, file)
    editor:open(file)
    local name = vim.fs.basename(file)
    check(typist.goal(workspace, "sed -i 's/b5/landed/' " .. name).code == 0, 'the goal')
    local found = editor:pending()
    check(#found == 1, 'one hunk is pending: ' .. vim.inspect(found))
    local goal = found[1].id:match('^g%d+')
    editor:type('<Esc>1GA typed<Esc>')
    editor:told_all()
    check(typist.run({ 'accept', goal }).code == 0, 'the accept')
    eventually('it has landed', function()
      return editor:text():find('landed', 1, true) ~= nil
    end)
    editor:type('<Esc>1GA too<Esc>')
    editor:told_all()
    ledger(goal, { landed = 1, pending = 0 }, 'before it is loaded anew')

    if other ~= '' then
      table.insert(lines, 3, other)
      vim.fn.writefile(lines, file)
    end
    editor:run("vim.cmd('edit!')")
    check(editor:text() == table.concat(lines, '\n'), 'it is as on the disk: ' .. editor:text())
    ledger(goal, { landed = 0, pending = 1 }, 'loaded anew')
    check(vim.deep_equal(vim.fn.readfile(file), lines), 'nothing lands by itself')
    check(editor:text() == table.concat(lines, '\n'), 'nor in the buffer')
    check(typist.run({ 'accept', goal }).code == 0, 'the accept of what was dropped')
    ledger(goal, { landed = 1, pending = 0 }, 'accepted again')
    check(editor:text():find('landed', 1, true) ~= nil, editor:text())
  end
end

---An edit on its way to a buffer that is loaded anew with another text, and with the number it had before: on the
---user's word it is closed for a moment, and by itself (|'autoread'|) it is not.
---@param editor e2e.Editor
local function overtaken(editor)
  for _, reload in ipairs({ 'edit!', 'checktime' }) do
    local name = reload:match('%a+') .. '.txt'
    local file = workspace .. '/' .. name
    local lines = { 'c1', 'c2', 'c3', 'c4', 'c5', 'c6' }
    vim.fn.writefile(lines, file)
    editor:open(file)
    check(typist.goal(workspace, "sed -i 's/c5/landed/' " .. name).code == 0, 'the goal')
    local goal = editor:pending()[1].id:match('^g%d+')
    editor:run(
      [[
        local goal, lines, reload = ...
        _G.accept(goal)
        table.insert(lines, 1, 'by another program')
        vim.fn.writefile(lines, vim.api.nvim_buf_get_name(0))
        vim.cmd(reload)
      ]],
      goal,
      lines,
      reload
    )
    landed(editor, goal, reload)
    local text = editor:text()
    check(text == 'by another program\nc1\nc2\nc3\nc4\nlanded\nc6', reload .. ': ' .. text)
  end
end

typist.main(function()
  local editor = typist.editor(workspace)
  editor:run(ACCEPT)
  dropped(editor)
  overtaken(editor)
  -- Of the goals above.
  local first = 4
  local goals = 0
  local lines = vim.fn.readfile(path)
  ---A goal about a line of its own: an edit that comes late counts as typing there, and what is not named waits
  ---for that.
  local function propose(becomes)
    goals = goals + 1
    local line = goals * 2 - 1
    lines[line] = becomes
    local done = typist.goal(workspace, ('sed -i "%ds/.*/%s/" f.txt'):format(line, becomes))
    check(done.code == 0, vim.inspect(done))
    return 'g' .. first + goals
  end

  for _, what in ipairs({ 'an edit on its way', 'a buffer between two documents' }) do
    editor:open(path)
    local before = on_disk()
    local goal = propose('reloaded')
    editor:run(ways[what], goal, 'edit!')
    landed(editor, goal, what)
    local text = table.concat(lines, '\n')
    eventually(what .. ': it is in the buffer', function()
      return editor:text() == text
    end)
    check(on_disk() == before, what .. ': nothing is saved')
    editor:run('vim.cmd.write()')

    -- What is closed and stays so is the disk's.
    goal = propose('closed')
    editor:run(ways[what], goal, 'bdelete!')
    landed(editor, goal, what .. ', closed')
    check(on_disk() == table.concat(lines, '\n'), what .. ': it is on the disk: ' .. on_disk())
  end
end)
