# The check of scripts/deploy.sh --azd on Windows: wrong parameters are refused before anything is created. A registration
# is made by hand there (infra/README.md), so ENTRA_APP_ENABLED does not stand in for a client id.
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')
$env:ENTRA_APP_ENABLED = 'false'

$python = @('.venv\Scripts\python.exe', 'python3.13', 'python') | Where-Object {
  (Get-Command $_ -ErrorAction SilentlyContinue) -and
  ((& $_ -c 'import sys; print(sys.version_info[:2] == (3, 13))' 2>$null) -eq 'True')
} | Select-Object -First 1
if (-not $python) {
  Write-Error 'Python 3.13 is missing'
  exit 1
}
& $python scripts/check_params.py infra/main.bicepparam
exit $LASTEXITCODE
