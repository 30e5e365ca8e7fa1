-- What scripts share that run in the Neovim that they test: its texts and messages, waiting, the menu.

local M = {}

---How long something may take, in milliseconds.
M.patience = 60000

---What has been shown to the user.
---@type string[]
M.messages = {}
vim.notify = function(message)
  table.insert(M.messages, message)
end

---What the last menu of code actions offered.
---@type string[]
M.titles = {}

---What the server has asked.
---@type string[]
M.questions = {}

---The text of a buffer; of the current one where none is named.
---@param buffer? integer
---@return string
function M.text(buffer)
  return table.concat(vim.api.nvim_buf_get_lines(buffer or 0, 0, -1, false), '\n')
end

---@param condition any
---@param message string
function M.check(condition, message)
  if condition then
    return
  end
  local found = {
    message,
    'messages: ' .. vim.inspect(M.messages),
    'actions: ' .. vim.inspect(M.titles),
    'questions: ' .. vim.inspect(M.questions),
    'diagnostics: ' .. vim.inspect(vim.diagnostic.get(0)),
  }
  for _, window in ipairs(vim.api.nvim_list_wins()) do
    local buffer = vim.api.nvim_win_get_buf(window)
    table.insert(found, '--- ' .. vim.api.nvim_buf_get_name(buffer))
    table.insert(found, M.text(buffer))
  end
  error(table.concat(found, '\n'), 2)
end

---@param what string
---@param condition fun(): any
function M.eventually(what, condition)
  M.check(vim.wait(M.patience, condition, 5), 'never happened: ' .. what)
end

---@param expected any
---@param found any
---@param what string
function M.equal(expected, found, what)
  local message = '%s: expected %s, found %s'
  M.check(
    vim.deep_equal(expected, found),
    message:format(what, vim.inspect(expected), vim.inspect(found))
  )
end

---Whether a message with this part was shown.
---@param part string
---@return boolean
function M.told(part)
  return vim.iter(M.messages):any(function(message)
    return message:find(part, 1, true) ~= nil
  end)
end

---Waits until a message with this part was shown.
---@param part string
---@param what string
function M.hears(part, what)
  M.eventually(what, function()
    return M.told(part)
  end)
end

---All that a user needs to configure.
function M.enable()
  if vim.lsp.enable then
    vim.lsp.enable('claudecluster')
  else
    require('claudecluster').setup()
  end
end

---Waits until the server has the current buffer.
---@return vim.lsp.Client
function M.attached()
  local client ---@type vim.lsp.Client?
  M.eventually('the server is attached', function()
    client = vim.lsp.get_clients({ bufnr = 0, name = 'claudecluster' })[1]
    return client ~= nil and client.initialized
  end)
  return assert(client)
end

---Opens a file and waits until the server has it.
---@param path string
---@return vim.lsp.Client
function M.open(path)
  vim.cmd.edit(vim.fn.fnameescape(path))
  return M.attached()
end

---Ends the undo step: a script is one, but keys that a user presses in between end it.
function M.press_a_key()
  vim.bo.undolevels = vim.bo.undolevels
end

---Presses keys as a user does, mappings included.
---@param keys string
function M.press(keys)
  vim.api.nvim_feedkeys(vim.keycode(keys), 'xt', false)
end

---Chooses from the menu of code actions at the cursor. Nothing is chosen where the title is not there.
---@param title string
---@param meanwhile? fun() what happens while the menu is open
function M.act(title, meanwhile)
  M.titles = {}
  vim.ui.select = function(items, opts, choose)
    if not items[1].action then
      -- A question of the server.
      table.insert(M.questions, opts.prompt)
      return choose(nil)
    end
    local chosen
    for _, item in ipairs(items) do
      table.insert(M.titles, item.action.title)
      if item.action.title == title then
        chosen = item
      end
    end
    if meanwhile then
      meanwhile()
    end
    choose(chosen)
  end
  M.press_a_key()
  vim.lsp.buf.code_action()
end

---The window that floats, and its text.
---@return string? text, integer? window
function M.float()
  for _, window in ipairs(vim.api.nvim_list_wins()) do
    if vim.api.nvim_win_get_config(window).relative ~= '' then
      return M.text(vim.api.nvim_win_get_buf(window)), window
    end
  end
end

---Ends the server.
---@param force? boolean
function M.stop(force)
  local function clients()
    return vim.lsp.get_clients({ name = 'claudecluster' })
  end
  local client = clients()[1]
  if vim.fn.has('nvim-0.11') == 1 then
    client:stop(force)
  else
    ---@diagnostic disable-next-line: param-type-mismatch
    client.stop(force)
  end
  vim.wait(2000, function()
    return #clients() == 0
  end)
end

return M
