-- What Neovim makes of edits. Arguments: the workspace, and in it a file of cases in JSON: a text, edits, and the
-- text that they should make. Prints the cases in which the buffer, or the file that `:write` makes, is another.

local cases = vim.json.decode(table.concat(vim.fn.readfile(arg[1] .. '/' .. arg[2]), '\n'))
local path = arg[1] .. '/edited.txt'

local function read()
  local file = assert(io.open(path, 'rb'))
  local text = file:read('*a')
  file:close()
  return text
end

local function write(text)
  local file = assert(io.open(path, 'wb'))
  file:write(text)
  file:close()
end

-- Neovim gives a file a line ending at its end when it is saved, unless it is told not to.
vim.o.fixendofline = false

local wrong = 0
local function compare(case, what, is)
  if is ~= case.new then
    wrong = wrong + 1
    print(('%s: %s -> %s by %s: %s'):format(what, vim.json.encode(case.old), vim.json.encode(case.new), vim.json.encode(case.edits), vim.json.encode(is)))
  end
end

for _, case in ipairs(cases) do
  write(case.old)
  vim.cmd('silent edit! ' .. vim.fn.fnameescape(path))
  local buffer = vim.api.nvim_get_current_buf()
  local text = vim.lsp._buf_get_full_text(buffer)
  if text ~= case.old then
    wrong = wrong + 1
    print(('opened %s as %s'):format(vim.json.encode(case.old), vim.json.encode(text)))
  else
    vim.lsp.util.apply_text_edits(vim.deepcopy(case.edits), buffer, 'utf-16')
    compare(case, 'buffer', vim.lsp._buf_get_full_text(buffer))
    vim.cmd('silent write!')
    compare(case, 'file', read())
  end
end
print(('%d cases, %d wrong'):format(#cases, wrong))
os.exit(wrong == 0 and 0 or 1)
