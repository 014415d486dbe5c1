// Parameters from environment variables: `azd env set NAME value`, or `export NAME=value` before scripts/deploy.sh or az.
// Each parameter of main.bicep has one, named after it. Each has a value here or a default in main.bicep, so that this file
// can be read without any of them set.
using './main.bicep'

// ---------------------------------------------------------------------------------------------- where

var name = readEnvironmentVariable('AZURE_ENV_NAME', 'dev')

param environmentName = name
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param resourceGroupName = readEnvironmentVariable('AZURE_RESOURCE_GROUP', 'rg-${name}')
// JSON objects: {"owner": "integration-team"}, {"storageAccount": "stcontoso"}
param tags = json(readEnvironmentVariable('TAGS', '{}'))
param nameOverrides = json(readEnvironmentVariable('NAME_OVERRIDES', '{}'))

// ---------------------------------------------------------------------------------------------- Business Central

param bcTenantId = readEnvironmentVariable('BC_TENANT_ID', '')
param bcEnvironment = readEnvironmentVariable('BC_ENVIRONMENT', 'production')
param bcCompanies = readEnvironmentVariable('BC_COMPANIES', '*')
param bcClientId = readEnvironmentVariable('BC_CLIENT_ID', '')
// the compiler checks the value that it reads against the allowed ones; only the type is any string
#disable-next-line BCP036
param bcAuthMode = readEnvironmentVariable('BC_AUTH_MODE', 'authorization_code')
param bcApiUrl = readEnvironmentVariable('BC_API_URL', 'https://api.businesscentral.dynamics.com')
param bcLoginUrl = readEnvironmentVariable('BC_LOGIN_URL', '')
param publicUrl = readEnvironmentVariable('PUBLIC_URL', 'https://%WEBSITE_HOSTNAME%')
param bcItemPullSchedule = readEnvironmentVariable('BC_ITEM_PULL_SCHEDULE', '0 */15 * * * *')
param bcReconcileSchedule = readEnvironmentVariable('BC_RECONCILE_SCHEDULE', '0 7-59/15 * * * *')
param bcSubscriptionSchedule = readEnvironmentVariable('BC_SUBSCRIPTION_SCHEDULE', '0 */15 * * * *')
param bcPullItemVariants = bool(readEnvironmentVariable('BC_PULL_ITEM_VARIANTS', 'true'))
param bcPullSalesShipmentLines = bool(readEnvironmentVariable('BC_PULL_SALES_SHIPMENT_LINES', 'true'))
param bcPullSalesInvoiceLines = bool(readEnvironmentVariable('BC_PULL_SALES_INVOICE_LINES', 'true'))
param bcTriggers = readEnvironmentVariable('BC_TRIGGERS', 'items,salesShipments,salesInvoices')
param bcChanges = readEnvironmentVariable('BC_CHANGES', 'created')
param bcEntities = readEnvironmentVariable('BC_ENTITIES', '')
param bcPageRows = int(readEnvironmentVariable('BC_PAGE_ROWS', '2000'))
param bcEventsTo = readEnvironmentVariable('BC_EVENTS_TO', 'queue')
param eventsReceiverId = readEnvironmentVariable('EVENTS_RECEIVER_ID', '')
param bcReaderClientId = readEnvironmentVariable('BC_READER_CLIENT_ID', '')
param bcRenamedFrom = readEnvironmentVariable('BC_RENAMED_FROM', '')
param bcKeepOrdersDays = int(readEnvironmentVariable('BC_KEEP_ORDERS_DAYS', '90'))
// JSON: {"eu": {"BC_ENVIRONMENT": "Production"}, "us": {"BC_TENANT_ID": "contoso.com"}}
param bcConnections = json(readEnvironmentVariable('BC_CONNECTIONS', '{}'))

// ---------------------------------------------------------------------------------------------- size and keeping

// a lookup, because an int of any value is not one of three; another size is an unknown property
var memorySizes = {
  '512': 512
  '2048': 2048
  '4096': 4096
}
param instanceMemoryMB = memorySizes[readEnvironmentVariable('INSTANCE_MEMORY_MB', '2048')]
param maximumInstanceCount = int(readEnvironmentVariable('MAXIMUM_INSTANCE_COUNT', '40'))
param httpConcurrency = int(readEnvironmentVariable('HTTP_CONCURRENCY', '16'))
param alwaysReadyHttpInstances = int(readEnvironmentVariable('ALWAYS_READY_HTTP_INSTANCES', '0'))
param zoneRedundant = bool(readEnvironmentVariable('ZONE_REDUNDANT', 'false'))
#disable-next-line BCP036
param storageSku = readEnvironmentVariable('STORAGE_SKU', 'Standard_LRS')
param storageLock = bool(readEnvironmentVariable('STORAGE_LOCK', 'false'))
param batchRetentionInDays = int(readEnvironmentVariable('BATCH_RETENTION_IN_DAYS', '14'))
param vaultPurgeProtection = bool(readEnvironmentVariable('VAULT_PURGE_PROTECTION', 'true'))
param vaultRetentionInDays = int(readEnvironmentVariable('VAULT_RETENTION_IN_DAYS', '90'))
param logRetentionInDays = int(readEnvironmentVariable('LOG_RETENTION_IN_DAYS', '30'))
param logDailyQuotaGb = int(readEnvironmentVariable('LOG_DAILY_QUOTA_GB', '1'))

// ---------------------------------------------------------------------------------------------- watching

// lists have commas between their entries
var emails = readEnvironmentVariable('ALERT_EMAILS', '')
param alertEmails = empty(emails) ? [] : split(emails, ',')
#disable-next-line BCP036
param rejectedOrdersThreshold = int(readEnvironmentVariable('REJECTED_ORDERS_THRESHOLD', '10'))
param runbookUrl = readEnvironmentVariable('RUNBOOK_URL', '')
param budgetAmount = int(readEnvironmentVariable('BUDGET_AMOUNT', '0'))
param budgetStartDate = readEnvironmentVariable('BUDGET_START_DATE', '')
param healthTestEnabled = bool(readEnvironmentVariable('HEALTH_TEST_ENABLED', 'false'))
param healthTestLocation = readEnvironmentVariable('HEALTH_TEST_LOCATION', 'emea-nl-ams-azr')

// ---------------------------------------------------------------------------------------------- options

// azd gives the id of whoever deploys and not its kind: Azure looks it up
param operatorPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
#disable-next-line BCP036
param operatorPrincipalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', '')
param vnetEnabled = bool(readEnvironmentVariable('VNET_ENABLED', 'false'))
param vnetAddressPrefix = readEnvironmentVariable('VNET_ADDRESS_PREFIX', '10.40.0.0/24')
param restrictToBusinessCentral = bool(readEnvironmentVariable('RESTRICT_TO_BUSINESS_CENTRAL', 'false'))
var addresses = readEnvironmentVariable('ALLOWED_ADDRESSES', '')
param allowedAddresses = empty(addresses) ? [] : split(addresses, ',')
