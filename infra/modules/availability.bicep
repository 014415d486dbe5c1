// Optional: a call of /api/health every quarter of an hour from one place outside. It tells whether the app can be reached,
// and it is a second clock: each call makes the app look whether one of its timers is overdue.

@description('Name of the test.')
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Resource id of the Application Insights component that keeps the results.')
param componentId string

@description('What is called.')
@minLength(9)
param url string

@description('Where the call comes from, an id of Azure Monitor such as emea-nl-ams-azr.')
@minLength(1)
param testLocation string

resource healthTest 'Microsoft.Insights/webtests@2022-06-15' = {
  name: name
  location: location
  // without this tag the portal does not show the test at its component
  tags: union(tags, { 'hidden-link:${componentId}': 'Resource' })
  kind: 'standard'
  properties: {
    SyntheticMonitorId: name
    Name: name
    Kind: 'standard'
    Enabled: true
    // seconds; each execution is billed
    Frequency: 900
    Timeout: 60
    RetryEnabled: true
    Locations: [
      {
        Id: testLocation
      }
    ]
    Request: {
      RequestUrl: url
      HttpVerb: 'GET'
      FollowRedirects: false
      ParseDependentRequests: false
    }
    ValidationRules: {
      ExpectedHttpStatusCode: 200
      SSLCheck: true
      SSLCertRemainingLifetimeCheck: 7
    }
  }
}
