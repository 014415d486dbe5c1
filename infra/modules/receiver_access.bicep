// The role by which the app sends events to an Event Grid topic or a Service Bus entity, at that resource and no higher.

import { roleIds } from 'types.bicep'

@description('Object id of the app\'s identity.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Resource id of an Event Grid topic or namespace, or of a Service Bus queue or topic, in this group.')
@minLength(60)
param receiverId string

// /subscriptions/<1>/resourceGroups/<2>/providers/<provider>/<type>/<name>[/<type>/<name>]
var parts = split(receiverId, '/')
var kind = toLower('${parts[6]}/${parts[7]}')
var entity = length(parts) > 10 ? toLower(parts[9]) : ''
var entityName = length(parts) > 10 ? parts[10] : 'none'

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = if (kind == 'microsoft.eventgrid/topics') {
  name: parts[8]
}

resource topicSender 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (kind == 'microsoft.eventgrid/topics') {
  scope: topic
  name: guid(receiverId, principalId, roleIds.eventGridDataSender)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.eventGridDataSender)
  }
}

resource grid 'Microsoft.EventGrid/namespaces@2025-02-15' existing = if (kind == 'microsoft.eventgrid/namespaces') {
  name: parts[8]
}

resource namespaceSender 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (kind == 'microsoft.eventgrid/namespaces') {
  scope: grid
  name: guid(receiverId, principalId, roleIds.eventGridDataSender)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.eventGridDataSender)
  }
}

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = if (kind == 'microsoft.servicebus/namespaces') {
  name: parts[8]
}

resource busQueue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = if (entity == 'queues') {
  parent: bus
  name: entityName
}

resource busQueueSender 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (entity == 'queues') {
  scope: busQueue
  name: guid(receiverId, principalId, roleIds.azureServiceBusDataSender)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.azureServiceBusDataSender)
  }
}

resource busTopic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = if (entity == 'topics' && kind == 'microsoft.servicebus/namespaces') {
  parent: bus
  name: entityName
}

resource busTopicSender 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (entity == 'topics' && kind == 'microsoft.servicebus/namespaces') {
  scope: busTopic
  name: guid(receiverId, principalId, roleIds.azureServiceBusDataSender)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.azureServiceBusDataSender)
  }
}
