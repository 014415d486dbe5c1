// Parameters from environment variables: `azd env set NAME value`, or `export NAME=value` before scripts/deploy.sh or az.
// Every one has a value here or a default in main.bicep, so that this file can be read without any of them set.
using './main.bicep'

var name = readEnvironmentVariable('AZURE_ENV_NAME', 'dev')

param environmentName = name
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param resourceGroupName = readEnvironmentVariable('AZURE_RESOURCE_GROUP', 'rg-${name}')

param bcTenantId = readEnvironmentVariable('BC_TENANT_ID', '')
param bcEnvironment = readEnvironmentVariable('BC_ENVIRONMENT', 'production')
param bcCompanies = readEnvironmentVariable('BC_COMPANIES', '*')
param bcClientId = readEnvironmentVariable('BC_CLIENT_ID', '')
// the compiler checks the value that it reads against the allowed ones; only the type is any string
#disable-next-line BCP036
param bcAuthMode = readEnvironmentVariable('BC_AUTH_MODE', 'authorization_code')
param publicUrl = readEnvironmentVariable('PUBLIC_URL', 'https://%WEBSITE_HOSTNAME%')
param bcItemPullSchedule = readEnvironmentVariable('BC_ITEM_PULL_SCHEDULE', '0 */15 * * * *')
param bcReconcileSchedule = readEnvironmentVariable('BC_RECONCILE_SCHEDULE', '0 7-59/15 * * * *')
param bcSubscriptionSchedule = readEnvironmentVariable('BC_SUBSCRIPTION_SCHEDULE', '0 */15 * * * *')
param bcPullItemVariants = bool(readEnvironmentVariable('BC_PULL_ITEM_VARIANTS', 'true'))
param bcPullSalesShipmentLines = bool(readEnvironmentVariable('BC_PULL_SALES_SHIPMENT_LINES', 'true'))
param bcPullSalesInvoiceLines = bool(readEnvironmentVariable('BC_PULL_SALES_INVOICE_LINES', 'true'))
param bcTriggers = readEnvironmentVariable('BC_TRIGGERS', 'items,salesShipments,salesInvoices')
param bcChanges = readEnvironmentVariable('BC_CHANGES', 'created')
param bcPageRows = int(readEnvironmentVariable('BC_PAGE_ROWS', '2000'))

param operatorPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
#disable-next-line BCP036
param operatorPrincipalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', 'User')
// one address, or several with commas between them
param alertEmails = empty(readEnvironmentVariable('ALERT_EMAILS', '')) ? [] : split(readEnvironmentVariable('ALERT_EMAILS', ''), ',')
param runbookUrl = readEnvironmentVariable('RUNBOOK_URL', '')
param vaultPurgeProtection = bool(readEnvironmentVariable('VAULT_PURGE_PROTECTION', 'true'))
param entraAppEnabled = bool(readEnvironmentVariable('ENTRA_APP_ENABLED', 'false'))
