-- Health of a PostService for Argo CD: in the ConfigMap argocd-cm, under the key
-- resource.customizations.health.platform.hhottdogg.shop_PostService.
-- Without it Argo CD takes every PostService for healthy the moment it exists.
local health = {status = "Progressing", message = "waiting for the operator"}
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
-- What it says of an earlier generation is not the answer to this one.
if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "waiting for the operator to see generation " .. tostring(obj.metadata.generation)
  return health
end
local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
local stalled, ready = found.Stalled, found.Ready
if stalled ~= nil and stalled.status == "True" then
  return {status = "Degraded", message = stalled.reason .. ": " .. stalled.message}
end
if ready == nil then
  return health
end
local message = ready.reason .. ": " .. ready.message
if ready.status == "True" then
  return {status = "Healthy", message = message}
end
if ready.reason == "Suspended" or ready.reason == "Stopped" or ready.reason == "Held" then
  return {status = "Suspended", message = message}
end
if ready.reason == "Degraded" or ready.reason == "RolledBack" then
  return {status = "Degraded", message = message}
end
return {status = "Progressing", message = message}
