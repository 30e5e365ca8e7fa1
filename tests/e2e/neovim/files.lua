-- The user of tests/it/neovim/typing.rs: files of all kinds, into which one goal lands while they are open. Arguments:
-- the workspace, whether they have to be closed first, and
-- their names. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local typist = require('typist')
local check, eventually = typist.check, typist.eventually

local workspace = arg[1]
local how = arg[2]
local names = vim.list_slice(arg, 3)

local function replace(...)
  return typist.goal(workspace, 'sed -i s/AAA/bbb/ ' .. table.concat(names, ' '), ...)
end

---What cannot land in an editor says so and leaves everything as it was. It lands once it is closed there.
local function closed_first()
  local editor = typist.editor(workspace)
  editor:open(workspace .. '/' .. names[1])
  local before = editor:text()
  local done = replace('--apply')
  check(done.code ~= 0, vim.inspect(done))
  check(editor:text() == before and not editor:run('return vim.bo.modified'), 'nothing happened')
  editor:run('vim.cmd.bwipeout()')
  -- The server is told in its own time.
  eventually('it lands on the disk', function()
    return typist.run({ 'accept', 'g1' }).code == 0
  end)
end

local function open()
  local editor = typist.editor(workspace)
  -- What is saved is what is there, and no more.
  editor:run('vim.o.fixendofline = false; vim.o.fileencodings = "ucs-bom,utf-8,latin1"')
  local on_disk = {}
  for _, name in ipairs(names) do
    editor:open(workspace .. '/' .. name)
    on_disk[name] = vim.fn.readblob(workspace .. '/' .. name)
  end
  local function state(name)
    return editor:run(
      [[
        local buffer = vim.fn.bufnr(...)
        local bo = vim.bo[buffer]
        local lines = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
        return {
          text = table.concat(lines, '\n'),
          modified = bo.modified,
          format = { bo.fileformat, bo.fileencoding, bo.endofline },
        }
      ]],
      workspace .. '/' .. name
    )
  end
  local first = {}
  for _, name in ipairs(names) do
    first[name] = state(name)
  end
  -- The workers see them as they are open, and the goal lands in all of them.
  local done = replace('--apply')
  check(done.code == 0, vim.inspect(done))
  check(#editor:pending() == 0, 'no pending changes')

  local landed = {}
  for _, name in ipairs(names) do
    landed[name] = state(name)
    local expected = first[name].text:gsub('AAA', 'bbb')
    check(landed[name].text == expected, name .. ': the landing alone')
    check(landed[name].modified, name .. ': nothing was saved')
    check(vim.fn.readblob(workspace .. '/' .. name) == on_disk[name], name .. ': on disk as it was')
    check(vim.deep_equal(landed[name].format, first[name].format), name .. ': format and encoding')
  end
  editor:detach()
  for _, name in ipairs(names) do
    editor:run('vim.cmd.buffer(vim.fn.bufnr(...))', workspace .. '/' .. name)
    editor:run([[vim.cmd('silent undo')]])
    check(vim.deep_equal(state(name), first[name]), name .. ': one undo, exactly')
    editor:run([[vim.cmd('silent redo')]])
    check(vim.deep_equal(state(name), landed[name]), name .. ': and redo')
    editor:run('vim.cmd.write()')
  end
end

typist.main(how == 'closed' and closed_first or open)
