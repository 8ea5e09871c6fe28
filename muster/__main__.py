from muster.app import main

main()
