-- The user of tests/it/neovim/host.rs: a program of a task wants to reach a host, and is allowed for always. Argument:
-- the workspace, and the plan of the goal. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('inside')

local workspace, plan = arg[1], arg[2]

require('claudecluster').setup({})
user.open(workspace .. '/README.md')
---@type vim.SystemCompleted?
local done
vim.system({ 'claudecluster', 'run', '--json', '--plan', plan }, { text = true }, function(ended)
  done = ended
end)
user.hears('g1/reach: Network host.example:443 — tool/1', 'the host, the task and the program are told')
local offered
vim.ui.select = function(answers, opts, choose)
  offered = vim.tbl_map(opts.format_item, answers)
  for _, answer in ipairs(answers) do
    if opts.format_item(answer) == 'Always allow this host' then
      choose(answer)
    end
  end
end
vim.cmd('ClaudeCluster permissions')
user.eventually('the goal goes on', function()
  return done ~= nil
end)
user.check(assert(done).code == 0, vim.inspect(done))
user.equal({
  'Allow once',
  'Allow for the task',
  'Allow for the goal',
  'Always allow this host',
  'Deny',
  'Deny with a reason',
}, offered, 'the answers')
user.eventually('no question is left', function()
  return not require('claudecluster').status():find('question')
end)
user.stop(true)
