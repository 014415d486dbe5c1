// Workbook over the log events of the app; the queries are in infra/workbook.json.

@description('Name of this installation.')
param environmentName string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Workspace that is queried.')
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, environmentName, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Business Central connection (${environmentName})'
    category: 'workbook'
    sourceId: workspaceId
    version: 'Notebook/1.0'
    serializedData: loadTextContent('../workbook.json')
  }
}
