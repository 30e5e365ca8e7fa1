-- The user of tests/neovim_reload.rs: loads a file anew while something lands in it. Argument: the workspace, in
-- which `f.txt` has nine lines. Fails by exiting with an error.

package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
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

typist.main(function()
  local editor = typist.editor(workspace)
  editor:run(ACCEPT)
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
    return 'g' .. goals
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
