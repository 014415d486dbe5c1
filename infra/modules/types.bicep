// Names and types that several files share. The code has the same names; tests/app/test_infra.py compares the two.

// ---------------------------------------------------------------------------------------------- names of the code

@export()
@description('Queues that the app reads. The host moves what fails too often to the twin that ends in -poison.')
var workQueueNames = [
  'bc-pages'
  'bc-notifications'
  'sales-orders'
  'sales-orders-resume'
  'bc-events-forward'
]

@export()
@description('Queues that the app only writes; the rest of the business reads them.')
var outputQueueNames = [
  'sales-order-results'
  'bc-events'
]

@export()
@description('Tables that hold the state of the app.')
var tableNames = [
  'BcSubscriptions'
  'BcWatermarks'
  'BcRecords'
  'BcOrders'
  'BcConnections'
]

@export()
@description('Blob container for event batches that do not fit a queue message.')
var dataContainerName = 'bc-data'

@export()
@description('Blob container for the deployed package; the platform writes and reads it.')
var packageContainerName = 'app-package'

// ---------------------------------------------------------------------------------------------- built-in roles

@export()
@description('Ids of the built-in roles that are assigned, under their names in camel case.')
var roleIds = {
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageBlobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  storageQueueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  storageTableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  storageTableDataReader: '76199698-9eea-4c19-bc75-cec21354c6b6'
  keyVaultSecretsOfficer: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  eventGridDataSender: 'd5a91429-5739-47e2-a06b-3470a27159e7'
  azureServiceBusDataSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
}

// ---------------------------------------------------------------------------------------------- types

@export()
@description('How the app signs in to Business Central.')
type authModeType = 'authorization_code' | 'client_secret' | 'managed_identity'

@export()
@description('NCRONTAB of six fields: second minute hour day month weekday. Bicep can only check the length.')
@minLength(11)
@maxLength(100)
type scheduleType = string

@export()
@description('What the app is told about Business Central; each becomes the app setting named beside it.')
type businessCentralType = {
  @description('BC_TENANT_ID: tenant GUID or verified domain.')
  @minLength(4)
  tenantId: string

  @description('BC_ENVIRONMENT')
  @minLength(1)
  @maxLength(30)
  environment: string

  @description('BC_COMPANIES: comma list of ids or names, or *.')
  @minLength(1)
  companies: string

  @description('BC_AUTH_MODE')
  authMode: authModeType

  @description('BC_API_URL')
  @minLength(9)
  apiUrl: string

  @description('BC_LOGIN_URL')
  @minLength(9)
  loginUrl: string

  @description('PUBLIC_URL')
  @minLength(9)
  publicUrl: string

  @description('BC_ITEM_PULL_SCHEDULE')
  itemPullSchedule: scheduleType

  @description('BC_RECONCILE_SCHEDULE')
  reconcileSchedule: scheduleType

  @description('BC_SUBSCRIPTION_SCHEDULE')
  subscriptionSchedule: scheduleType

  @description('BC_PULL_ITEM_VARIANTS')
  pullItemVariants: bool

  @description('BC_PULL_SALES_SHIPMENT_LINES')
  pullSalesShipmentLines: bool

  @description('BC_PULL_SALES_INVOICE_LINES')
  pullSalesInvoiceLines: bool

  @description('BC_TRIGGERS: comma list of watched entities.')
  @minLength(5)
  triggers: string

  @description('BC_CHANGES: comma list of emitted changes.')
  @minLength(7)
  changes: string

  @description('BC_ENTITIES: JSON list of further entities, or empty.')
  entities: string

  @description('BC_PAGE_ROWS')
  @minValue(1)
  @maxValue(20000)
  pageRows: int

  @description('BC_EVENTS_TO: queue, or the https address of a receiver.')
  @minLength(5)
  eventsTo: string

  @description('BC_READER_CLIENT_ID: client id of the reader, or empty.')
  @maxLength(36)
  readerClientId: string

  @description('BC_RENAMED_FROM: earlier name of the environment, or empty.')
  @maxLength(30)
  renamedFrom: string

  @description('BC_KEEP_ORDERS_DAYS')
  @minValue(1)
  @maxValue(3650)
  keepOrdersDays: int

  @description('BC_CONNECTIONS, and the settings of each connection under its prefix; empty for one made of the above.')
  connections: connectionsType
}

@export()
@sealed()
@description('What one connection has of its own; what it leaves out is that of all. The members are app settings without prefix.')
type connectionType = {
  @description('Tenant GUID or verified domain.')
  @minLength(4)
  @maxLength(253)
  BC_TENANT_ID: string?

  @minLength(1)
  @maxLength(30)
  BC_ENVIRONMENT: string?

  @description('Comma list of ids or names, or *.')
  @minLength(1)
  BC_COMPANIES: string?

  @description('Application (client) id, a GUID.')
  @minLength(36)
  @maxLength(36)
  BC_CLIENT_ID: string?

  @description('Client id of the reader, a GUID.')
  @minLength(36)
  @maxLength(36)
  BC_READER_CLIENT_ID: string?

  BC_AUTH_MODE: authModeType?

  @minLength(9)
  BC_API_URL: string?

  @minLength(9)
  BC_LOGIN_URL: string?

  BC_PULL_ITEM_VARIANTS: 'true' | 'false'?

  BC_PULL_SALES_SHIPMENT_LINES: 'true' | 'false'?

  BC_PULL_SALES_INVOICE_LINES: 'true' | 'false'?

  @description('Comma list of watched entities.')
  @minLength(5)
  BC_TRIGGERS: string?

  @description('Comma list of emitted changes.')
  @minLength(7)
  BC_CHANGES: string?

  @description('1 to 20000.')
  @minLength(1)
  @maxLength(5)
  BC_PAGE_ROWS: string?

  @description('JSON list of further entities.')
  @minLength(2)
  BC_ENTITIES: string?

  @description('Earlier name of the environment.')
  @minLength(1)
  @maxLength(30)
  BC_RENAMED_FROM: string?
}

@export()
@description('Connections by id: a letter a-z, then up to 15 letters a-z and digits (scripts/check_params.py checks it).')
type connectionsType = {
  *: connectionType
}

@export()
@description('How far the app scales. See docs/resources.md for the reasons behind the numbers.')
type scaleType = {
  @description('Memory of an instance in MB.')
  instanceMemoryMB: 512 | 2048 | 4096

  @description('Most instances of one function group. There are about a dozen groups; 40 is accepted in every region.')
  @minValue(16)
  @maxValue(1000)
  maximumInstanceCount: int

  @description('HTTP calls that one instance serves at once.')
  @minValue(1)
  @maxValue(64)
  httpConcurrency: int

  @description('Instances for HTTP that are kept warm, and are billed while idle.')
  @minValue(0)
  @maxValue(10)
  alwaysReadyHttpInstances: int

  @description('Instances in several zones; needs zone-redundant storage.')
  zoneRedundant: bool
}

@export()
@description('Names for resources that must not get a generated one.')
type nameOverridesType = {
  @description('User-assigned identity.')
  @minLength(3)
  @maxLength(128)
  identity: string?

  @description('Storage account: lower-case letters and digits.')
  @minLength(3)
  @maxLength(24)
  storageAccount: string?

  @description('Key vault for secrets that operators set: letters, digits, hyphens.')
  @minLength(3)
  @maxLength(24)
  vault: string?

  @description('Key vault for token caches: letters, digits, hyphens.')
  @minLength(3)
  @maxLength(24)
  tokenVault: string?

  @description('Log Analytics workspace.')
  @minLength(4)
  @maxLength(63)
  workspace: string?

  @description('Application Insights component.')
  @minLength(1)
  @maxLength(255)
  component: string?

  @description('Hosting plan.')
  @minLength(1)
  @maxLength(60)
  plan: string?

  @description('Function app; part of its host name.')
  @minLength(2)
  @maxLength(60)
  functionApp: string?
}

@export()
@description('Replication of the storage account.')
type storageSkuType = 'Standard_LRS' | 'Standard_ZRS' | 'Standard_GRS' | 'Standard_GZRS'

@export()
@description('Kind of the directory object that the operator roles go to; empty lets Azure look it up.')
type principalType = '' | 'User' | 'Group' | 'ServicePrincipal'

// When a schedule counts as silent: twice the longest time between two runs, and half an hour for the run itself, in the
// next window that log alerts take; they take two days at most. '' for what is due less than once a day: no log alert can
// watch it, and timer-overdue follows every schedule. tests/app/test_silence.py compares it with the schedule itself.
@export()
@description('Time without a successful run of a schedule (NCRONTAB of six fields) that raises an alert; empty: none can.')
func silenceAfter(schedule string) string => silenceOf(split(schedule, ' '))

func silenceOf(fields string[]) string => join(skip(fields, 3), ' ') == '* * *' ? silenceOfDay(fields) : ''

func silenceOfDay(fields string[]) string => fields[2] == '*' ? silenceOfHour(fields[1]) : silenceOfHours(fields[2])

func silenceOfHour(minutes string) string =>
  contains(['*', '*/5', '*/10', '*/15', '7-59/15'], minutes) ? 'PT1H' : 'PT3H'

func silenceOfHours(hours string) string => startsWith(hours, '*/') ? silenceOfStep(int(substring(hours, 2))) : 'P2D'

func silenceOfStep(hours int) string => hours <= 2 ? 'PT6H' : hours <= 11 ? 'P1D' : 'P2D'

// ---------------------------------------------------------------------------------------------- names of resources
// The registration wants the app's address and the app wants the registration's client id, so the names follow from what
// both know: the environment and the group (its token).

@export()
@description('Name of the identity that the app runs as.')
func identityNameOf(environmentName string, token string) string => 'id-${environmentName}-${token}'

@export()
@description('Name of the function app.')
func functionAppNameOf(environmentName string, token string) string => 'func-${environmentName}-${token}'

@export()
@description('Name of the client secret of a connection in the vault.')
func clientSecretNameOf(id string) string => id == 'default' ? 'bc-client-secret' : 'bc-client-secret-${id}'

@export()
@description('Where a login returns to: the callback route at the public address of the app.')
func redirectUriOf(url string, app string) string => '${replace(url, '%WEBSITE_HOSTNAME%', '${app}.azurewebsites.net')}/api/connect/callback'
