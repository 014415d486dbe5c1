// Flex Consumption plan and function app: runtime, scale, settings, publishing. The app setting names equal those that
// shared/settings.py reads; CA_BUNDLE is left out because it is unset in Azure.

import { businessCentralType, packageContainerName, scaleType } from 'types.bicep'

@description('Name of the hosting plan.')
param planName string

@description('Name of the function app; part of its host name.')
@minLength(2)
@maxLength(60)
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Resource id of the user-assigned identity.')
param identityId string

@description('Client id of the user-assigned identity.')
param identityClientId string

@description('Storage account.')
param storageAccountName string

@description('Key vault for secrets that operators set.')
param vaultName string

@description('Key vault for token caches.')
param tokenVaultName string

@description('Application Insights component.')
param componentName string

@description('Application (client) id of the Connect App, a GUID.')
@minLength(36)
@maxLength(36)
param bcClientId string

@description('What else the app is told about Business Central.')
param bc businessCentralType

@description('How far the app scales.')
param scale scaleType

@description('Subnet for outgoing traffic; empty without a VNet.')
param subnetId string

@description('Lets in Business Central and allowedAddresses only. It holds for the whole site, the connect page included.')
param restrictToBusinessCentral bool

@description('Further IPv4 or IPv6 ranges in CIDR form that may call when the site is restricted.')
param allowedAddresses string[]

@description('Lets the availability test of Azure Monitor in when the site is restricted.')
param allowHealthTest bool

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName
}

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: vaultName
}

resource tokenVault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: tokenVaultName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

// batchSize and newBatchThreshold of host.json together
var messageConcurrency = 20

var settings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: account.properties.primaryEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: account.properties.primaryEndpoints.queue
  AzureWebJobsStorage__tableServiceUri: account.properties.primaryEndpoints.table
  APPLICATIONINSIGHTS_CONNECTION_STRING: component.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  // a thread for each HTTP call that an instance serves at once, beside those for a queue's messages
  PYTHON_THREADPOOL_THREAD_COUNT: string(scale.httpConcurrency + messageConcurrency)
  // the page at / would answer 200 while no function is there
  AzureWebJobsDisableHomepage: 'true'
  // 1 MiB; the largest delivery of Business Central, 1,000 notifications, is half of it
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '1048576'
  KEY_VAULT_URL: vault.properties.vaultUri
  TOKEN_VAULT_URL: tokenVault.properties.vaultUri
  BC_TENANT_ID: bc.tenantId
  BC_ENVIRONMENT: bc.environment
  BC_COMPANIES: bc.companies
  BC_CLIENT_ID: bcClientId
  BC_AUTH_MODE: bc.authMode
  BC_API_URL: bc.apiUrl
  BC_LOGIN_URL: bc.loginUrl
  PUBLIC_URL: bc.publicUrl
  BC_ITEM_PULL_SCHEDULE: bc.itemPullSchedule
  BC_RECONCILE_SCHEDULE: bc.reconcileSchedule
  BC_SUBSCRIPTION_SCHEDULE: bc.subscriptionSchedule
  BC_PULL_ITEM_VARIANTS: bc.pullItemVariants ? 'true' : 'false'
  BC_PULL_SALES_SHIPMENT_LINES: bc.pullSalesShipmentLines ? 'true' : 'false'
  BC_PULL_SALES_INVOICE_LINES: bc.pullSalesInvoiceLines ? 'true' : 'false'
  BC_TRIGGERS: bc.triggers
  BC_CHANGES: bc.changes
  BC_ENTITIES: bc.entities
  BC_PAGE_ROWS: string(bc.pageRows)
  BC_EVENTS_TO: bc.eventsTo
  BC_READER_CLIENT_ID: bc.readerClientId
  BC_RENAMED_FROM: bc.renamedFrom
  BC_KEEP_ORDERS_DAYS: string(bc.keepOrdersDays)
  BC_CONNECTIONS: join(objectKeys(bc.connections), ',')
}

// EU__BC_ENVIRONMENT and so on: what a connection has of its own
var connectionSettings = flatten(map(
  items(bc.connections),
  connection => map(items(connection.value), setting => {
    name: '${toUpper(connection.key)}__${setting.key}'
    value: setting.value
  })
))

// A rule matches addresses and forwarding headers, never a path, so it cannot be laid on the notification route alone.
var businessCentralRule = {
  name: 'business-central'
  description: 'Notifications and handshakes of Business Central online'
  priority: 100
  action: 'Allow'
  tag: 'ServiceTag'
  ipAddress: 'Dynamics365BusinessCentral'
}
var healthTestRule = {
  name: 'health-test'
  description: 'Availability test of Azure Monitor'
  priority: 110
  action: 'Allow'
  tag: 'ServiceTag'
  ipAddress: 'ApplicationInsightsAvailability'
}
var addressRules = map(allowedAddresses, (address, i) => {
  name: 'allowed-${i + 1}'
  description: 'Operators and callers of this site'
  priority: 200 + i
  action: 'Allow'
  ipAddress: address
})

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: scale.zoneRedundant
  }
}

resource site 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  // azd finds the app to publish to by this tag; the value is the name of the service in azure.yaml
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${account.properties.primaryEndpoints.blob}${packageContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: scale.instanceMemoryMB
        maximumInstanceCount: scale.maximumInstanceCount
        alwaysReady: scale.alwaysReadyHttpInstances > 0
          ? [
              {
                name: 'http'
                instanceCount: scale.alwaysReadyHttpInstances
              }
            ]
          : []
        triggers: {
          http: {
            perInstanceConcurrency: scale.httpConcurrency
          }
        }
      }
    }
    siteConfig: {
      appSettings: concat(
        map(items(settings), setting => {
          name: setting.key
          value: setting.value
        }),
        connectionSettings
      )
      ftpsState: 'Disabled'
      http20Enabled: true
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: restrictToBusinessCentral ? 'Deny' : 'Allow'
      ipSecurityRestrictions: restrictToBusinessCentral
        ? concat([businessCentralRule], allowHealthTest ? [healthTestRule] : [], addressRules)
        : []
      // publishing stays open to whoever holds the role for it
      scmIpSecurityRestrictionsUseMain: false
    }
  }
}

// two resources and no loop: only with their names written out does the compiler know their type
resource ftpPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: site
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: site
  name: 'scm'
  properties: {
    allow: false
  }
}

@description('Host name of the app.')
output hostName string = site.properties.defaultHostName
