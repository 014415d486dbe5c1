// Everything inside the resource group. `main.bicep` creates the group and calls this; it can also be deployed on its own
// into a group that exists already: az deployment group create --template-file infra/resources.bicep ...

import {
  businessCentralType
  functionAppNameOf
  identityNameOf
  nameOverridesType
  principalType
  redirectUriOf
  scaleType
  storageSkuType
} from 'modules/types.bicep'

@description('Short name of this installation; part of resource names.')
@minLength(2)
@maxLength(24)
param environmentName string

@description('Region.')
param location string = resourceGroup().location

@description('Tags for every resource.')
param tags object = {}

@description('Application (client) id of the Connect App, a GUID; infra/registration.bicep makes one.')
@minLength(36)
@maxLength(36)
param bcClientId string

@description('What else the app is told about Business Central.')
param bc businessCentralType

@description('Resource id of the Event Grid topic or Service Bus entity that events go to; empty for none.')
param eventsReceiverId string = ''

@description('How far the app scales.')
param scale scaleType

@description('Names for resources that must not get a generated one.')
param nameOverrides nameOverridesType = {}

@description('Replication of the storage account.')
param storageSku storageSkuType = 'Standard_LRS'

@description('Locks the storage account against being deleted.')
param storageLock bool = false

@description('Days after which a blob of bc-data is deleted: seven that the message of a claim check lives, and a week.')
@minValue(14)
@maxValue(3650)
param batchRetentionInDays int = 14

@description('Keeps a deleted vault from being purged.')
param vaultPurgeProtection bool = true

@description('Days that a deleted vault or secret can be recovered; fixed when the vault is created.')
@minValue(7)
@maxValue(90)
param vaultRetentionInDays int = 90

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionInDays int = 30

@description('Most GB of logs a day; -1 is no cap. Once reached, every log alert is blind for the rest of the day.')
@minValue(-1)
param logDailyQuotaGb int = 1

@description('Who gets alert mails; empty deploys no alerts.')
@maxLength(20)
param alertEmails string[] = []

@description('Sales orders refused within half an hour that raise an alert.')
@minValue(1)
param rejectedOrdersThreshold int = 10

@description('Where the pages of docs/runbook are, for the links in alert mails; empty names the file only.')
param runbookUrl string = ''

@description('Monthly budget in the billing currency; 0 deploys none.')
@minValue(0)
param budgetAmount int = 0

@description('First day of a month, yyyy-MM-01; needed with a budget.')
@maxLength(20)
param budgetStartDate string = ''

@description('Object id of a person, group or pipeline that sets secrets and looks at queues and tables; empty for none.')
@maxLength(36)
param operatorPrincipalId string = ''

@description('Kind of that object; empty lets Azure look it up.')
param operatorPrincipalType principalType = ''

@description('VNet with private endpoints for storage and vaults.')
param vnetEnabled bool = false

@description('Address space of the VNet, /26 or larger.')
@minLength(9)
@maxLength(18)
param vnetAddressPrefix string = '10.40.0.0/24'

@description('Lets in Business Central and allowedAddresses only; it holds for the whole site, the connect page included.')
param restrictToBusinessCentral bool = false

@description('Further ranges in CIDR form that may call a restricted site.')
@maxLength(50)
param allowedAddresses string[] = []

@description('Calls /api/health every 15 minutes from outside: a second clock for the app when its timers stop.')
param healthTestEnabled bool = false

@description('Where that call comes from, an id of Azure Monitor.')
@minLength(1)
param healthTestLocation string = 'emea-nl-ams-azr'

var token = uniqueString(resourceGroup().id, environmentName)
var identityName = nameOverrides.?identity ?? identityNameOf(environmentName, token)
var storageAccountName = nameOverrides.?storageAccount ?? 'st${token}'
var vaultName = nameOverrides.?vault ?? 'kv-${token}'
var tokenVaultName = nameOverrides.?tokenVault ?? 'kv-tokens-${token}'
var workspaceName = nameOverrides.?workspace ?? 'log-${environmentName}-${token}'
var componentName = nameOverrides.?component ?? 'appi-${environmentName}-${token}'
var planName = nameOverrides.?plan ?? 'plan-${environmentName}-${token}'
var functionAppName = nameOverrides.?functionApp ?? functionAppNameOf(environmentName, token)

module identity 'modules/identity.bicep' = {
  params: {
    name: identityName
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    workspaceName: workspaceName
    componentName: componentName
    location: location
    tags: tags
    retentionInDays: logRetentionInDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module storage 'modules/storage.bicep' = {
  params: {
    name: storageAccountName
    location: location
    tags: tags
    sku: storageSku
    isLocked: storageLock
    batchRetentionInDays: batchRetentionInDays
    privateOnly: vnetEnabled
    workspaceId: monitoring.outputs.workspaceId
  }
}

module vault 'modules/vault.bicep' = {
  params: {
    name: vaultName
    location: location
    tags: tags
    purgeProtection: vaultPurgeProtection
    softDeleteRetentionInDays: vaultRetentionInDays
    privateOnly: vnetEnabled
    workspaceId: monitoring.outputs.workspaceId
  }
}

module tokenVault 'modules/vault.bicep' = {
  params: {
    name: tokenVaultName
    location: location
    tags: tags
    purgeProtection: vaultPurgeProtection
    softDeleteRetentionInDays: vaultRetentionInDays
    privateOnly: vnetEnabled
    workspaceId: monitoring.outputs.workspaceId
  }
}

module network 'modules/network.bicep' = if (vnetEnabled) {
  params: {
    name: 'vnet-${environmentName}-${token}'
    location: location
    tags: tags
    addressPrefix: vnetAddressPrefix
    storageAccountId: storage.outputs.id
    vaultId: vault.outputs.id
    tokenVaultId: tokenVault.outputs.id
  }
}

module access 'modules/access.bicep' = {
  params: {
    principalId: identity.outputs.principalId
    kind: 'ServicePrincipal'
    storageAccountName: storageAccountName
    vaultNames: [vaultName, tokenVaultName]
    componentName: componentName
    // host state, package and claim checks; queue triggers, outputs and poison queues; state tables
    storageRoles: ['storageBlobDataOwner', 'storageQueueDataContributor', 'storageTableDataContributor']
    // Officer, not User: the token cache and the webhook secret are written by the app
    vaultRole: 'keyVaultSecretsOfficer'
    componentRoles: ['monitoringMetricsPublisher']
  }
  dependsOn: [
    storage
    vault
    tokenVault
    monitoring
  ]
}

// with a placeholder where there is none: a scope is worked out even for a module that is not deployed
var receiver = split(empty(eventsReceiverId) ? '${resourceGroup().id}/providers/none/none/none' : eventsReceiverId, '/')

module receiverAccess 'modules/receiver_access.bicep' = if (!empty(eventsReceiverId)) {
  scope: resourceGroup(receiver[2], receiver[4])
  params: {
    principalId: identity.outputs.principalId
    receiverId: eventsReceiverId
  }
}

module operatorAccess 'modules/access.bicep' = if (!empty(operatorPrincipalId)) {
  params: {
    principalId: operatorPrincipalId
    kind: operatorPrincipalType
    storageAccountName: storageAccountName
    // the client secret is theirs to set; who could read the token cache could act as whoever logged in
    vaultNames: [vaultName]
    componentName: componentName
    storageRoles: ['storageBlobDataReader', 'storageQueueDataContributor', 'storageTableDataReader']
    vaultRole: 'keyVaultSecretsOfficer'
  }
  dependsOn: [
    storage
    vault
    monitoring
  ]
}

module app 'modules/app.bicep' = {
  params: {
    planName: planName
    name: functionAppName
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageAccountName: storageAccountName
    vaultName: vaultName
    tokenVaultName: tokenVaultName
    componentName: componentName
    bcClientId: bcClientId
    bc: bc
    scale: scale
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    restrictToBusinessCentral: restrictToBusinessCentral
    allowedAddresses: allowedAddresses
    allowHealthTest: healthTestEnabled
  }
  // without its roles the first start of the app fails
  dependsOn: [
    access
  ]
}

module alerts 'modules/alerts.bicep' = if (!empty(alertEmails)) {
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    emails: alertEmails
    bc: bc
    rejectedOrdersThreshold: rejectedOrdersThreshold
    runbookUrl: runbookUrl
  }
  dependsOn: [
    app
  ]
}

module availability 'modules/availability.bicep' = if (healthTestEnabled) {
  params: {
    name: 'health-${environmentName}'
    location: location
    tags: tags
    componentId: monitoring.outputs.componentId
    url: 'https://${app.outputs.hostName}/api/health'
    testLocation: healthTestLocation
  }
}

module workbook 'modules/workbook.bicep' = {
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

module budget 'modules/budget.bicep' = if (budgetAmount > 0 && !empty(alertEmails)) {
  params: {
    name: 'budget-${environmentName}'
    // at least 1 for the compiler's sake: with 0 there is no budget
    amount: max(budgetAmount, 1)
    startDate: budgetStartDate
    emails: alertEmails
  }
}

@description('Name of the function app, for func and azd.')
output functionAppName string = functionAppName

@description('Address of the app.')
output appUrl string = 'https://${app.outputs.hostName}'

@description('Redirect URI to enter in the application registration.')
output redirectUri string = redirectUriOf(bc.publicUrl, functionAppName)

@description('Principal id of the identity: the subject of a federated credential.')
output identityPrincipalId string = identity.outputs.principalId

@description('Name of the key vault for secrets that operators set.')
output vaultName string = vaultName

@description('Name of the storage account.')
output storageAccountName string = storageAccountName

@description('Name of the Log Analytics workspace.')
output workspaceName string = workspaceName
