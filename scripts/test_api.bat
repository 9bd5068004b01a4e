@echo off
rem Tries the API of a running gateway: scripts\test_api.bat --url http://127.0.0.1:8000 --api-key ... --admin-key ... --test all
call "%~dp0start.bat" api-test %*
