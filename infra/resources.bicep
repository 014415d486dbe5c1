// Everything inside the resource group. `main.bicep` creates the group and calls this; it can also be deployed on its own
// into a group that exists already: az deployment group create --template-file infra/resources.bicep ...

import { businessCentralType, nameOverridesType, principalType, scaleType, silenceWindowType, storageSkuType } from 'modules/types.bicep'

@description('Short name of this installation; part of resource names.')
@minLength(2)
@maxLength(24)
param environmentName string

@description('Region.')
param location string = resourceGroup().location

@description('Tags for every resource.')
param tags object = {}

@description('Application (client) id of the Connect App; empty only with entraAppEnabled.')
@maxLength(36)
param bcClientId string = ''

@description('What else the app is told about Business Central.')
param bc businessCentralType

@description('How far the app scales.')
param scale scaleType

@description('Names for resources that must not get a generated one.')
param nameOverrides nameOverridesType = {}

@description('Replication of the storage account.')
param storageSku storageSkuType = 'Standard_LRS'

@description('Days after which an event batch is deleted.')
@minValue(4)
@maxValue(3650)
param batchRetentionInDays int = 30

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

@description('Time without a successful run that raises an alert; longer than the longest schedule.')
param silenceWindow silenceWindowType = 'PT1H'

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

@description('Kind of that object.')
param operatorPrincipalType principalType = 'User'

@description('VNet with private endpoints for storage and vault.')
param vnetEnabled bool = false

@description('Address space of the VNet.')
@minLength(9)
@maxLength(18)
param vnetAddressPrefix string = '10.40.0.0/24'

@description('Lets in Business Central and allowedAddresses only; it holds for the whole site, the connect page included.')
param restrictToBusinessCentral bool = false

@description('Further ranges in CIDR form that may call a restricted site.')
@maxLength(50)
param allowedAddresses string[] = []

@description('Registers the application in Entra ID with the Microsoft Graph extension.')
param entraAppEnabled bool = false

@description('Grants the permissions of that application for the whole tenant.')
param entraGrantAdminConsent bool = false

var token = uniqueString(resourceGroup().id, environmentName)
var identityName = nameOverrides.?identity ?? 'id-${environmentName}-${token}'
var storageAccountName = nameOverrides.?storageAccount ?? 'st${token}'
var vaultName = nameOverrides.?vault ?? 'kv-${token}'
var workspaceName = nameOverrides.?workspace ?? 'log-${environmentName}-${token}'
var componentName = nameOverrides.?component ?? 'appi-${environmentName}-${token}'
var planName = nameOverrides.?plan ?? 'plan-${environmentName}-${token}'
var functionAppName = nameOverrides.?functionApp ?? 'func-${environmentName}-${token}'

// The registration wants the app's address and the app wants the registration's client id, so the address is built from
// the name instead of being read from the app.
var publicOrigin = contains(bc.publicUrl, '%WEBSITE_HOSTNAME%')
  ? replace(bc.publicUrl, '%WEBSITE_HOSTNAME%', '${functionAppName}.azurewebsites.net')
  : bc.publicUrl
var redirectUri = '${publicOrigin}/api/connect/callback'

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

module network 'modules/network.bicep' = if (vnetEnabled) {
  params: {
    name: 'vnet-${environmentName}-${token}'
    location: location
    tags: tags
    addressPrefix: vnetAddressPrefix
    storageAccountId: storage.outputs.id
    vaultId: vault.outputs.id
  }
}

module access 'modules/access.bicep' = {
  params: {
    principalId: identity.outputs.principalId
    kind: 'ServicePrincipal'
    storageAccountName: storageAccountName
    vaultName: vaultName
    componentName: componentName
    // host state, package and event batches; queue triggers, outputs and poison queues; state tables
    storageRoles: ['storageBlobDataOwner', 'storageQueueDataContributor', 'storageTableDataContributor']
    // Officer, not User: the token cache and the webhook secret are written by the app
    vaultRoles: ['keyVaultSecretsOfficer']
    componentRoles: ['monitoringMetricsPublisher']
  }
  dependsOn: [
    storage
    vault
    monitoring
  ]
}

module operatorAccess 'modules/access.bicep' = if (!empty(operatorPrincipalId)) {
  params: {
    principalId: operatorPrincipalId
    kind: operatorPrincipalType
    storageAccountName: storageAccountName
    vaultName: vaultName
    componentName: componentName
    storageRoles: ['storageBlobDataReader', 'storageQueueDataContributor', 'storageTableDataReader']
    vaultRoles: ['keyVaultSecretsOfficer']
  }
  dependsOn: [
    storage
    vault
    monitoring
  ]
}

module entra 'modules/entra.bicep' = if (entraAppEnabled) {
  params: {
    uniqueName: functionAppName
    displayName: 'Business Central connection (${environmentName})'
    redirectUri: redirectUri
    identityPrincipalId: identity.outputs.principalId
    grantAdminConsent: entraGrantAdminConsent
  }
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
    componentName: componentName
    bcClientId: entraAppEnabled ? entra!.outputs.clientId : bcClientId
    bc: bc
    scale: scale
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    restrictToBusinessCentral: restrictToBusinessCentral
    allowedAddresses: allowedAddresses
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
    silenceWindow: silenceWindow
    runbookUrl: runbookUrl
  }
  dependsOn: [
    app
  ]
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
    amount: budgetAmount
    startDate: budgetStartDate
    emails: alertEmails
  }
}

@description('Name of the function app, for func and azd.')
output functionAppName string = functionAppName

@description('Address of the app.')
output appUrl string = 'https://${app.outputs.hostName}'

@description('Redirect URI to enter in the application registration.')
output redirectUri string = redirectUri

@description('Application (client) id that the app signs in with.')
output bcClientId string = entraAppEnabled ? entra!.outputs.clientId : bcClientId

@description('Principal id of the identity: the subject of a federated credential.')
output identityPrincipalId string = identity.outputs.principalId

@description('Name of the key vault.')
output vaultName string = vaultName

@description('Address of the key vault.')
output vaultUrl string = app.outputs.vaultUrl

@description('Name of the storage account.')
output storageAccountName string = storageAccountName

@description('Name of the Log Analytics workspace.')
output workspaceName string = workspaceName
