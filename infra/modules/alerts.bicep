// Log alerts on what hurts. Each alert is one row: its query is in infra/queries/<name>.kql and what to do about it in
// docs/runbook/<name>.md; tests/app/test_alerts.py keeps the three together and the event names equal to the code's.

import { businessCentralType, silenceAfter } from 'types.bicep'

@description('Name of this installation; part of the rule names.')
param environmentName string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Workspace that is queried.')
param workspaceId string

@description('Who gets the mails.')
@minLength(1)
param emails string[]

@description('What the app is told about Business Central; its schedules say when a run is missing.')
param bc businessCentralType

@description('Sales orders refused within half an hour that raise an alert.')
@minValue(1)
param rejectedOrdersThreshold int

@description('Where the runbook pages are, for a link in the mail; empty names the file only.')
param runbookUrl string

// Silence follows from the schedule of the function that is silent.
var silences = {
  'pull-items-silent': silenceAfter(bc.itemPullSchedule)
  'reconcile-silent': silenceAfter(bc.reconcileSchedule)
  'keep-subscriptions-silent': silenceAfter(bc.subscriptionSchedule)
}

// One rule serves all connections: each has an alert of its own, which names it.
var byConnection = [
  {
    name: 'connection'
    operator: 'Include'
    values: ['*']
  }
]

// Rows that are usual up to a number.
var thresholds = {
  'orders-rejected': rejectedOrdersThreshold
}

// severity: 1 a person must act now, 2 a person must act today, 3 worth knowing.
// atLeast: rows that raise the alert. silent: the alert is raised when there is no row at all.
var alerts = [
  {
    name: 'login-needed'
    title: 'A person must log in to Business Central again'
    severity: 1
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/login-needed.kql')
  }
  {
    name: 'settings-refused'
    title: 'The app has wrong settings and does nothing'
    severity: 1
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/settings-refused.kql')
  }
  {
    name: 'subscription-lost'
    title: 'Business Central lost a webhook subscription'
    severity: 3
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/subscription-lost.kql')
  }
  {
    name: 'subscription-failed'
    title: 'A webhook subscription cannot be registered or renewed'
    severity: 2
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/subscription-failed.kql')
  }
  {
    name: 'stream-failed'
    title: 'An entity of a company cannot be read'
    severity: 2
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/stream-failed.kql')
  }
  {
    name: 'order-parked'
    title: 'A sales order was given up'
    severity: 2
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/order-parked.kql')
  }
  {
    name: 'orders-rejected'
    title: 'Many sales orders are refused'
    severity: 2
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/orders-rejected.kql')
  }
  {
    name: 'lost-tables'
    title: 'The table of orders has lost rows'
    severity: 1
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/lost-tables.kql')
  }
  {
    name: 'queue-unread'
    title: 'Messages lie in a queue and nobody reads it'
    severity: 2
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/queue-unread.kql')
  }
  {
    name: 'message-dead-lettered'
    title: 'A queue message became a dead letter'
    severity: 2
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/message-dead-lettered.kql')
  }
  {
    name: 'events-held'
    title: 'The receiver of events takes none until a person acts'
    severity: 2
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/events-held.kql')
  }
  {
    name: 'poison-written'
    title: 'The host moved a message to a poison queue'
    severity: 2
    atLeast: 1
    dimensions: []
    query: loadTextContent('../queries/poison-written.kql')
  }
  {
    name: 'bc-throttled'
    title: 'Business Central refuses more than a tenth of the calls'
    severity: 3
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/bc-throttled.kql')
  }
  {
    name: 'invocations-failed'
    title: 'A function fails again and again'
    severity: 2
    atLeast: 1
    dimensions: []
    query: loadTextContent('../queries/invocations-failed.kql')
  }
  {
    name: 'timer-overdue'
    title: 'A timer has stopped'
    severity: 2
    atLeast: 1
    dimensions: byConnection
    query: loadTextContent('../queries/timer-overdue.kql')
  }
  {
    name: 'log-cap-reached'
    title: 'The log has reached its daily cap; all other alerts are blind'
    severity: 1
    atLeast: 1
    dimensions: []
    query: loadTextContent('../queries/log-cap-reached.kql')
  }
  {
    name: 'pull-items-silent'
    title: 'No successful item pull'
    severity: 2
    atLeast: 0
    dimensions: []
    query: loadTextContent('../queries/pull-items-silent.kql')
  }
  {
    name: 'reconcile-silent'
    title: 'No successful reconcile'
    severity: 1
    atLeast: 0
    dimensions: []
    query: loadTextContent('../queries/reconcile-silent.kql')
  }
  {
    name: 'keep-subscriptions-silent'
    title: 'No successful subscription run'
    severity: 2
    atLeast: 0
    dimensions: []
    query: loadTextContent('../queries/keep-subscriptions-silent.kql')
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'bc-connect'
    emailReceivers: map(emails, (email, i) => {
      name: 'mail-${i + 1}'
      emailAddress: email
      useCommonAlertSchema: true
    })
  }
}

// Every 15 minutes over the last 30: rows reach the workspace minutes late, and an overlap misses none of them. A rule
// stays raised while its rows are in the window, so the overlap sends no second mail.
resource rules 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in alerts: {
    name: '${alert.name}-${environmentName}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: '${alert.title} (${environmentName})'
      description: 'Runbook: ${empty(runbookUrl) ? 'docs/runbook' : runbookUrl}/${alert.name}.md'
      enabled: !empty(silences[?alert.name] ?? 'PT30M')
      severity: alert.severity
      scopes: [workspaceId]
      evaluationFrequency: 'PT15M'
      windowSize: empty(silences[?alert.name] ?? 'PT30M') ? 'P2D' : silences[?alert.name] ?? 'PT30M'
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            dimensions: alert.dimensions
            operator: alert.atLeast > 0 ? 'GreaterThanOrEqual' : 'LessThan'
            threshold: thresholds[?alert.name] ?? (alert.atLeast > 0 ? alert.atLeast : 1)
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      // the tables do not exist before their first row, which would fail the first deployment
      skipQueryValidation: true
      actions: {
        actionGroups: [actionGroup.id]
      }
    }
  }
]
