// Example for production: copy to prod.bicepparam, fill in, commit it (it holds no secret; .github/workflows/deploy.yml
// deploys that file), and run
//   scripts/deploy.sh --register --params infra/prod.bicepparam    once: prints bcClientId
//   scripts/deploy.sh --dry-run --params infra/prod.bicepparam
using './main.bicep'

param environmentName = 'prod'
param location = 'westeurope'
param resourceGroupName = 'rg-business-central-prod'
param tags = {
  owner: 'integration-team'
  costCenter: '4711'
}

param bcTenantId = 'lmints.io'
param bcEnvironment = 'production'
// names or ids with commas between them: a new company is then taken in by a person and not by accident
param bcCompanies = 'CRONUS International Ltd.'
// no secret: the app's identity is federated with the registration
param bcAuthMode = 'managed_identity'
param bcClientId = '00000000-0000-0000-0000-000000000000'

param storageSku = 'Standard_ZRS'
param zoneRedundant = true
param alwaysReadyHttpInstances = 1
param logRetentionInDays = 90
param logDailyQuotaGb = 5

param alertEmails = ['integration@example.com']
param healthTestEnabled = true
param budgetAmount = 100
param budgetStartDate = '2026-12-01'

// object id of the group that runs this
param operatorPrincipalId = '00000000-0000-0000-0000-000000000000'
param operatorPrincipalType = 'Group'

param vnetEnabled = true
