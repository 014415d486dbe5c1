// Business Central connection: the resource group and everything in it. Deployed at subscription scope by azd, by
// scripts/deploy.sh or by az; see infra/README.md. The application registration is a deployment of its own before this
// one (registration.bicep).

targetScope = 'subscription'

import { authModeType, clientSecretNameOf, connectionsType, nameOverridesType, principalType, scheduleType, storageSkuType } from 'modules/types.bicep'

// ---------------------------------------------------------------------------------------------- where

@description('Short name of this installation, e.g. dev or prod: lower-case letters, digits, hyphens. Part of resource names.')
@minLength(2)
@maxLength(24)
param environmentName string

@description('Region of everything; Flex Consumption must be offered there.')
@metadata({ azd: { type: 'location' } })
@minLength(4)
param location string

@description('Resource group; created when it does not exist.')
@minLength(1)
@maxLength(90)
param resourceGroupName string = 'rg-${environmentName}'

@description('Tags for every resource, beside azd-env-name.')
param tags object = {}

@description('Names for resources that must not get a generated one.')
param nameOverrides nameOverridesType = {}

// ---------------------------------------------------------------------------------------------- Business Central
// Each of these is the app setting of the same name in upper snake case; shared/settings.py has the meaning.

@description('Tenant of Business Central: GUID or verified domain; empty for the tenant of the subscription.')
@maxLength(253)
param bcTenantId string = ''

@description('Business Central environment.')
@minLength(1)
@maxLength(30)
param bcEnvironment string = 'production'

@description('Comma list of company ids or names; * for all that the connection may open.')
@minLength(1)
param bcCompanies string = '*'

@description('Application (client) id of the Connect App, a GUID; registration.bicep makes one.')
@maxLength(36)
param bcClientId string = ''

@description('How the app signs in to Business Central.')
param bcAuthMode authModeType = 'authorization_code'

@description('Origin of the Business Central API; tokens go to no other origin.')
@minLength(9)
param bcApiUrl string = 'https://api.businesscentral.dynamics.com'

@description('Origin of the login; empty for that of this cloud.')
param bcLoginUrl string = ''

@description('Where Business Central and browsers reach the app; a custom domain must be bound to the app by hand.')
@minLength(9)
param publicUrl string = 'https://%WEBSITE_HOSTNAME%'

@description('When items are pulled.')
param bcItemPullSchedule scheduleType = '0 */15 * * * *'

@description('When the reconcile looks for what no notification told.')
param bcReconcileSchedule scheduleType = '0 7-59/15 * * * *'

@description('When subscriptions are registered, renewed and rebuilt.')
param bcSubscriptionSchedule scheduleType = '0 */15 * * * *'

@description('Items come with their variants.')
param bcPullItemVariants bool = true

@description('Sales shipments come with their lines.')
param bcPullSalesShipmentLines bool = true

@description('Sales invoices come with their lines.')
param bcPullSalesInvoiceLines bool = true

@description('Comma list of watched entities: items, salesShipments, salesInvoices.')
@minLength(5)
param bcTriggers string = 'items,salesShipments,salesInvoices'

@description('Comma list of emitted changes: created, updated, deleted.')
@minLength(7)
param bcChanges string = 'created'

@description('JSON list of further entities, custom API pages included: docs/entities.md. Empty: items, shipments and invoices.')
param bcEntities string = ''

@description('Rows asked for per page.')
@minValue(1)
@maxValue(20000)
param bcPageRows int = 2000

@description('Where events go: queue, or the https address of an Event Grid topic, a Service Bus queue or topic, or an endpoint.')
@minLength(5)
param bcEventsTo string = 'queue'

@description('Resource id of that topic or queue, where it is in this subscription: the app gets the role to send to it. Empty: give it by hand.')
param eventsReceiverId string = ''

@description('A second application that reads pages beside the first, with limits of its own; its secret is bc-reader-secret. Empty: none.')
@maxLength(36)
param bcReaderClientId string = ''

@description('Earlier name of the environment, once it was renamed: its state goes on.')
@maxLength(30)
param bcRenamedFrom string = ''

@description('Several connections by id, each with what it has of its own: {eu: {BC_ENVIRONMENT: ...}, us: {...}}; empty for one.')
param bcConnections connectionsType = {}

@description('Days after which what an order that ended held is erased; what stops a second post stays.')
@minValue(1)
@maxValue(3650)
param bcKeepOrdersDays int = 90

// ---------------------------------------------------------------------------------------------- size and keeping

@description('Memory of an instance in MB.')
param instanceMemoryMB 512 | 2048 | 4096 = 2048

@description('Most instances of one function group; 40 is accepted in every region, a lower value only in some.')
@minValue(16)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('HTTP calls that one instance serves at once.')
@minValue(1)
@maxValue(64)
param httpConcurrency int = 16

@description('Instances for HTTP kept warm, billed while idle. One keeps every handshake within the 5 s that Business Central waits.')
@minValue(0)
@maxValue(10)
param alwaysReadyHttpInstances int = 0

@description('Instances in several zones, where the region has them; needs a zone-redundant storageSku.')
param zoneRedundant bool = false

@description('Replication of the storage account.')
param storageSku storageSkuType = 'Standard_LRS'

@description('Locks the storage account against being deleted, by whoever may delete it otherwise: it holds the order book.')
param storageLock bool = false

@description('Days after which a blob of bc-data is deleted. A claim check: seven that its message lives, and a week. The order book: as far back as it can be brought back.')
@minValue(14)
@maxValue(3650)
param batchRetentionInDays int = 14

@description('Keeps a deleted vault from being purged; it cannot be turned off again.')
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

// ---------------------------------------------------------------------------------------------- watching

@description('Who gets alert and budget mails; empty deploys no alerts and no budget.')
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

@description('First day of the month in which the budget is created, yyyy-MM-01; it must not change afterwards.')
@maxLength(20)
param budgetStartDate string = ''

@description('Calls /api/health every 15 minutes from outside: a second clock for the app when its timers stop.')
param healthTestEnabled bool = false

@description('Where that call comes from, an id of Azure Monitor.')
@minLength(1)
param healthTestLocation string = 'emea-nl-ams-azr'

// ---------------------------------------------------------------------------------------------- options

@description('Object id of a person, group or pipeline that sets secrets and looks at queues and tables; empty for none.')
@maxLength(36)
param operatorPrincipalId string = ''

@description('Kind of that object; empty lets Azure look it up.')
param operatorPrincipalType principalType = ''

@description('VNet with private endpoints for storage and vaults; five endpoints to pay for.')
param vnetEnabled bool = false

@description('Address space of the VNet, /26 or larger; each half is a subnet.')
@minLength(9)
@maxLength(18)
param vnetAddressPrefix string = '10.40.0.0/24'

@description('Lets in Business Central and allowedAddresses only. App Service has no rule for a single route, so this closes the connect page too.')
param restrictToBusinessCentral bool = false

@description('Further ranges in CIDR form that may call a restricted site, e.g. the office.')
@maxLength(50)
param allowedAddresses string[] = []

var connectionIds = empty(bcConnections) ? ['default'] : objectKeys(bcConnections)

var allTags = union(tags, { 'azd-env-name': environmentName })

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: resourceGroupName
  location: location
  tags: allTags
}

module resources 'resources.bicep' = {
  scope: group
  params: {
    environmentName: environmentName
    location: location
    tags: allTags
    nameOverrides: nameOverrides
    bcClientId: bcClientId
    bc: {
      tenantId: empty(bcTenantId) ? tenant().tenantId : bcTenantId
      environment: bcEnvironment
      companies: bcCompanies
      authMode: bcAuthMode
      apiUrl: bcApiUrl
      loginUrl: empty(bcLoginUrl) ? environment().authentication.loginEndpoint : bcLoginUrl
      publicUrl: publicUrl
      itemPullSchedule: bcItemPullSchedule
      reconcileSchedule: bcReconcileSchedule
      subscriptionSchedule: bcSubscriptionSchedule
      pullItemVariants: bcPullItemVariants
      pullSalesShipmentLines: bcPullSalesShipmentLines
      pullSalesInvoiceLines: bcPullSalesInvoiceLines
      triggers: bcTriggers
      changes: bcChanges
      entities: bcEntities
      pageRows: bcPageRows
      eventsTo: bcEventsTo
      readerClientId: bcReaderClientId
      renamedFrom: bcRenamedFrom
      keepOrdersDays: bcKeepOrdersDays
      connections: bcConnections
    }
    eventsReceiverId: eventsReceiverId
    scale: {
      instanceMemoryMB: instanceMemoryMB
      maximumInstanceCount: maximumInstanceCount
      httpConcurrency: httpConcurrency
      alwaysReadyHttpInstances: alwaysReadyHttpInstances
      zoneRedundant: zoneRedundant
    }
    storageSku: storageSku
    storageLock: storageLock
    batchRetentionInDays: batchRetentionInDays
    vaultPurgeProtection: vaultPurgeProtection
    vaultRetentionInDays: vaultRetentionInDays
    logRetentionInDays: logRetentionInDays
    logDailyQuotaGb: logDailyQuotaGb
    alertEmails: alertEmails
    rejectedOrdersThreshold: rejectedOrdersThreshold
    runbookUrl: runbookUrl
    budgetAmount: budgetAmount
    budgetStartDate: budgetStartDate
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    vnetEnabled: vnetEnabled
    vnetAddressPrefix: vnetAddressPrefix
    restrictToBusinessCentral: restrictToBusinessCentral
    allowedAddresses: allowedAddresses
    healthTestEnabled: healthTestEnabled
    healthTestLocation: healthTestLocation
  }
}

@description('Region.')
output AZURE_LOCATION string = location

@description('Tenant of the subscription.')
output AZURE_TENANT_ID string = tenant().tenantId

@description('Resource group.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Function app, for func azure functionapp publish.')
output AZURE_FUNCTION_NAME string = resources.outputs.functionAppName

@description('The same under the name that azd looks for.')
output SERVICE_API_NAME string = resources.outputs.functionAppName

@description('Address of the app.')
output APP_URL string = resources.outputs.appUrl

@description('For the person who registers the application: its redirect URI (platform Web).')
output BC_REDIRECT_URI string = resources.outputs.redirectUri

@description('For the person who registers the application by hand: subject of the federated credential in managed_identity mode.')
output IDENTITY_PRINCIPAL_ID string = resources.outputs.identityPrincipalId

@description('Key vault, for az keyvault secret set in client_secret and authorization_code mode.')
output KEY_VAULT_NAME string = resources.outputs.vaultName

@description('Names under which that vault keeps the client secrets, one a connection, with commas between them.')
output BC_CLIENT_CREDENTIAL_NAMES string = join(map(connectionIds, id => clientSecretNameOf(id)), ',')

@description('Storage account with the queues.')
output STORAGE_ACCOUNT_NAME string = resources.outputs.storageAccountName

@description('Log Analytics workspace.')
output LOG_WORKSPACE_NAME string = resources.outputs.workspaceName

@description('First day of the budget, empty without one; azd gives it to the next check of the parameters.')
output BUDGET_SINCE string = budgetAmount > 0 && !empty(alertEmails) ? budgetStartDate : ''
